"""Checks a log and proofs about it with aics-tlog (PyPI), and nothing of Phiward's. Exits 0 with a line of
JSON only if everything it was asked about holds.

    check.py log DIR KEY [OLD_CHECKPOINT…]
    check.py inclusion PROOF KEY
    check.py receipt RECEIPT KEY
    check.py consistency PROOF OLD_CHECKPOINT KEY
"""
import base64
import json
import sys
from pathlib import Path

import aics_tlog
from aics_tlog.checkpoint import checkpoint_from_note


class Refused(Exception):
    pass


def demand(holds, what):
    if not holds:
        raise Refused(what)


def opened(text, key):
    note = aics_tlog.parse_note(text)
    result = aics_tlog.verify_checkpoint(note, key, expected_origin=key.name)
    demand(result.ok and result.log_ok, f"checkpoint: {result.error}")
    head, _ = checkpoint_from_note(note)
    demand(head.origin == key.name, "the checkpoint is not of this log")
    return head


def whole_log(folder, key, olds):
    folder = Path(folder)
    head = opened((folder / "checkpoint").read_text(), key)
    files = aics_tlog.FileSystemTileReader(folder)
    with_entries = (folder / "tile" / "entries").is_dir()
    aics_tlog.audit_tiles(files, head.size, head.root, entries=with_entries)
    demand(aics_tlog.tree_root_from_tiles(files, head.size) == head.root, "tree hash")
    tiles = aics_tlog.VerifiedTileReader(files, head.size, head.root)
    said = {"size": head.size, "leaves": 0, "entries": 0, "consistent": 0}
    for index in range(head.size):
        leaf = tiles.leaf_hash(index)
        proof = aics_tlog.inclusion_proof_from_tiles(tiles, index, head.size)
        demand(aics_tlog.verify_inclusion(leaf, index, head.size, proof, head.root), f"leaf {index}")
        said["leaves"] += 1
        if with_entries:
            demand(aics_tlog.leaf_hash(tiles.entry(index)) == leaf, f"entry {index}")
            said["entries"] += 1
    for file in olds:
        old = opened(Path(file).read_text(), key)
        proof = aics_tlog.consistency_proof_from_tiles(tiles, old.size, head.size)
        holds = aics_tlog.verify_consistency(old.size, head.size, old.root, head.root, proof)
        demand(holds, "consistency")
        said["consistent"] += 1
    return said


def decoded(texts):
    return [base64.b64decode(text, validate=True) for text in texts]


def inclusion(file, key):
    proof = json.loads(Path(file).read_text())
    head = opened(proof["checkpoint"], key)
    records = proof.get("records", [proof])
    demand(records, "no record")
    for record in records:
        leaf, *path = decoded([record["leaf"], *record["path"]])
        holds = aics_tlog.verify_inclusion(leaf, record["index"], head.size, path, head.root)
        demand(holds, "inclusion")
    return {"size": head.size, "leaves": len(records)}


def consistency(file, old, key):
    proof = json.loads(Path(file).read_text())
    head = opened(proof["checkpoint"], key)
    old = opened(Path(old).read_text(), key)
    path = decoded(proof["path"])
    holds = aics_tlog.verify_consistency(old.size, head.size, old.root, head.root, path)
    demand(holds, "consistency")
    return {"size": head.size, "consistent": 1}


def vkey(file):
    return aics_tlog.parse_vkey(Path(file).read_text().strip())


def main(command, *arguments):
    if command == "log":
        return whole_log(arguments[0], vkey(arguments[1]), arguments[2:])
    if command in ("inclusion", "receipt"):
        return inclusion(arguments[0], vkey(arguments[1]))
    if command == "consistency":
        return consistency(arguments[0], arguments[1], vkey(arguments[2]))
    raise SystemExit(__doc__)


if __name__ == "__main__":
    try:
        print(json.dumps(main(*sys.argv[1:])))
    except (Refused, ValueError, KeyError, TypeError, OSError, LookupError) as refused:
        print(f"check.py: {type(refused).__name__}: {refused}", file=sys.stderr)
        sys.exit(1)
    except Exception as refused:  # what the library raises for a tile that does not fit
        if not type(refused).__module__.startswith("aics_tlog"):
            raise
        print(f"check.py: {type(refused).__name__}: {refused}", file=sys.stderr)
        sys.exit(1)
