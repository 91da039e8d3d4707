//! The sample over HTTP/1.1, on loopback only; requests and bodies have limits in size and time.

use std::{convert::Infallible, io, time::Duration};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full, Limited};
use hyper::{
    body::{Body, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
};
use tokio::net::TcpListener;

use crate::{
    answer::RefusedError,
    sample::{BODY_LIMIT, Sample},
};

/// The longest a request's head, or its body, may take to arrive.
const ARRIVAL: Duration = Duration::from_secs(10);
/// How long open requests may take once the server is told to stop.
const DRAIN: Duration = Duration::from_secs(5);
/// The pause after a failed accept, which usually means that sockets are short.
const PAUSE: Duration = Duration::from_millis(50);

/// Serves the sample on `listener` until `shutdown` is ready, then drains for up to 5 s.
///
/// The FHIR base is `http://` and the listener's address. Fails with
/// `io::ErrorKind::InvalidInput` if that is not a loopback address.
pub async fn serve(listener: TcpListener, shutdown: impl Future<Output = ()>) -> io::Result<()> {
    let address = listener.local_addr()?;
    if !address.ip().is_loopback() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "the sample asks for no credential and is served on loopback only",
        ));
    }
    let sample = Sample::new(&format!("http://{address}"));
    let graceful = GracefulShutdown::new();
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        let stream = tokio::select! {
            biased;
            () = &mut shutdown => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(_) => {
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
            },
        };
        let sample = sample.clone();
        let service = service_fn(move |request| answer(sample.clone(), request));
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(ARRIVAL)
            .serve_connection(TokioIo::new(stream), service);
        let connection = graceful.watch(connection);
        // A connection that breaks is the peer's affair.
        tokio::spawn(async move { drop(connection.await) });
    }
    drop(listener);
    drop(tokio::time::timeout(DRAIN, graceful.shutdown()).await);
    Ok(())
}

async fn answer(
    sample: Sample,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let target = head.uri.path_and_query().map_or("/", |target| target.as_str());
    if body.size_hint().lower() > BODY_LIMIT as u64 {
        return Ok(RefusedError::BodyTooLarge.answer().map(Full::new));
    }
    let collected = tokio::time::timeout(ARRIVAL, Limited::new(body, BODY_LIMIT).collect()).await;
    let response = match collected {
        Ok(Ok(body)) => sample.handle(&head.method, target, &head.headers, &body.to_bytes()),
        Ok(Err(_)) => RefusedError::BodyTooLarge.answer(),
        Err(_) => RefusedError::Slow.answer(),
    };
    Ok(response.map(Full::new))
}
