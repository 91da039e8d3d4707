//! A stream that lets only unambiguous HTTP/1.1 request heads through. What two parsers could read
//! differently never reaches the first one: bare CR or LF, folded lines, bytes outside printable
//! ASCII, fragments, `Transfer-Encoding`, repeated `Content-Length` or `Host`. The offending head is
//! replaced by one byte that no HTTP parser accepts, so the peer gets 400 and a closed connection
//! (`gateway.md` rows 39 and 40; RFC 9112 §11.2).

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Longest line of a head; the parser behind has its own bound for the whole.
const MAX_LINE: usize = 64 * 1024;

/// Watches what is read from a stream; writing passes through.
pub(crate) struct StrictHttp1<S> {
    stream: S,
    state: State,
}

/// Where in the sequence of requests the next byte belongs.
enum State {
    /// In a head: the line so far, and what its earlier lines said.
    Head { line: Vec<u8>, seen: Seen },
    /// In a body of so many more bytes.
    Body(u64),
    /// Something was refused; nothing more is let through.
    Refused,
}

#[derive(Default)]
struct Seen {
    request_line: bool,
    host: bool,
    length: Option<u64>,
}

/// A head that two parsers could read differently.
struct Ambiguous;

impl<S> StrictHttp1<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self { stream, state: State::fresh() }
    }
}

impl State {
    fn fresh() -> Self {
        Self::Head { line: Vec::new(), seen: Seen::default() }
    }

    /// Takes the bytes that arrived.
    fn take(&mut self, mut bytes: &[u8]) -> Result<(), Ambiguous> {
        while let Some((&first, rest)) = bytes.split_first() {
            match self {
                Self::Refused => return Err(Ambiguous),
                Self::Body(left) => {
                    let there = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
                    let taken = there.min(*left);
                    bytes = usize::try_from(taken).ok().and_then(|n| bytes.get(n..)).unwrap_or(&[]);
                    *left -= taken;
                    if *left == 0 {
                        *self = Self::fresh();
                    }
                }
                Self::Head { line, seen } => {
                    bytes = rest;
                    line.push(first);
                    if first != b'\n' {
                        if line.len() > MAX_LINE {
                            return Err(Ambiguous);
                        }
                        continue;
                    }
                    let text = line.strip_suffix(b"\r\n").ok_or(Ambiguous)?;
                    // Empty lines before a request are tolerated (RFC 9112 §2.2).
                    if text.is_empty() && !seen.request_line {
                        line.clear();
                    } else if text.is_empty() {
                        let body = seen.length.unwrap_or(0);
                        *self = if body == 0 { Self::fresh() } else { Self::Body(body) };
                    } else {
                        seen.line(text)?;
                        line.clear();
                    }
                }
            }
        }
        Ok(())
    }
}

impl Seen {
    fn line(&mut self, text: &[u8]) -> Result<(), Ambiguous> {
        let plain = |b: &u8| b.is_ascii_graphic() || *b == b' ' || *b == b'\t';
        if !text.iter().all(plain) {
            return Err(Ambiguous);
        }
        if !self.request_line {
            self.request_line = true;
            let fits = !text.contains(&b'#') && !text.contains(&b'\t');
            return if fits { Ok(()) } else { Err(Ambiguous) };
        }
        let colon = text.iter().position(|b| *b == b':').ok_or(Ambiguous)?;
        let (name, value) = text.split_at_checked(colon).ok_or(Ambiguous)?;
        let value = value.get(1..).unwrap_or_default().trim_ascii();
        // A folded line begins with a blank; a blank before the colon hides a name (§5.1).
        if name.is_empty() || name.iter().any(|b| *b == b' ' || *b == b'\t') {
            return Err(Ambiguous);
        }
        if name.eq_ignore_ascii_case(b"transfer-encoding") {
            return Err(Ambiguous);
        }
        if name.eq_ignore_ascii_case(b"host") {
            return if std::mem::replace(&mut self.host, true) { Err(Ambiguous) } else { Ok(()) };
        }
        if name.eq_ignore_ascii_case(b"content-length") {
            let digits = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
            let number = std::str::from_utf8(value).ok().filter(|_| digits);
            let number = number.and_then(|text| text.parse().ok()).ok_or(Ambiguous)?;
            if self.length.replace(number).is_some() {
                return Err(Ambiguous);
            }
        }
        Ok(())
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for StrictHttp1<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if matches!(this.state, State::Refused) {
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        ready!(Pin::new(&mut this.stream).poll_read(cx, buf))?;
        let arrived = buf.filled().get(before..).unwrap_or_default();
        if this.state.take(arrived).is_err() {
            this.state = State::Refused;
            buf.set_filled(before);
            buf.put_slice(b"\0");
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for StrictHttp1<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lets_through(bytes: &[u8]) -> bool {
        // The verdict must not depend on how the bytes are cut.
        let whole = State::fresh().take(bytes).is_ok();
        let mut state = State::fresh();
        let single = bytes.iter().all(|b| state.take(&[*b]).is_ok());
        assert_eq!(whole, single);
        whole
    }

    #[test]
    fn ordinary_requests_pass() {
        assert!(lets_through(
            b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET /b HTTP/1.1\r\nHost: a\r\n\r\n"
        ));
        // A body may hold anything.
        assert!(lets_through(
            b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n\n\0#\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"
        ));
    }

    #[test]
    fn what_two_parsers_could_read_differently_is_stopped() {
        for bytes in [
            &b"GET / HTTP/1.1\nHost: a\r\n\r\n"[..],
            b"GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n",
            b"GET / HTTP/1.1\r\nX: a\rb\r\n\r\n",
            b"GET /#f HTTP/1.1\r\nHost: a\r\n\r\n",
            b"GET /\xc3\xa9 HTTP/1.1\r\nHost: a\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: a\r\n folded: b\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost : a\r\n\r\n",
            b"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
            b"POST / HTTP/1.1\r\nContent-Length: +1\r\n\r\n",
            b"POST / HTTP/1.1\r\nContent-Length: 1, 1\r\n\r\n",
            b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"POST / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: xchunked\r\n\r\n",
            b"POST / HTTP/1.1\r\nContent-Length: 1\r\n\r\nxGET / HTTP/1.1\nHost: a\r\n\r\n",
        ] {
            assert!(!lets_through(bytes), "{:?}", String::from_utf8_lossy(bytes));
        }
    }
}
