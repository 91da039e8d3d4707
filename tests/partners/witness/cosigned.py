"""Whether aics-tlog accepts a cosigned checkpoint.

cosigned.py NOTE_FILE LOG_VKEY QUORUM WITNESS_VKEY...

Prints one line of JSON: what was found in the note as it is, and whether the note is still accepted
with its size, its root or its cosignature's time changed.
"""

import base64
import json
import sys
from pathlib import Path

from aics_tlog import Note, SignatureLine, parse_note, parse_vkey, verify_checkpoint

note_file, log, quorum, *witnesses = sys.argv[1:]
text = Path(note_file).read_text(encoding="utf-8")
log_key, witness_keys = parse_vkey(log), [parse_vkey(key) for key in witnesses]


def judge(note):
    return verify_checkpoint(
        note, log_key, witness_keys, quorum=int(quorum), max_future_seconds=30, max_age_seconds=600
    )


note = parse_note(text)
found = judge(note)


def changed(change):
    try:
        return judge(change(note)).ok
    except ValueError:
        return False


def with_line(at, value):
    def change(note):
        lines = note.text.split("\n")
        lines[at] = value
        return Note(text="\n".join(lines), signatures=note.signatures)

    return change


def later(note):
    """The same cosignatures, a second later."""
    own = {key.name for key in witness_keys}

    def line(sig):
        if sig.name not in own:
            return sig
        time = int.from_bytes(sig.signature[:8], "big") + 1
        return SignatureLine(
            name=sig.name, key_id=sig.key_id, signature=time.to_bytes(8, "big") + sig.signature[8:]
        )

    return Note(text=note.text, signatures=tuple(line(sig) for sig in note.signatures))


print(
    json.dumps(
        {
            "ok": found.ok,
            "error": found.error,
            "origin": found.origin,
            "size": found.size,
            "witnesses": sorted(found.witnesses),
            "other_size": changed(with_line(1, str(found.size + 1))),
            "other_root": changed(with_line(2, base64.b64encode(bytes(32)).decode())),
            "other_time": changed(later),
        }
    )
)
