"""A log of somebody else (aics-tlog), and its client of a witness (aics-witness).

log.py vkey                        prints the log's verifier key
log.py submit URL WITNESS_VKEY     has three heads cosigned, then tries a fork, a roll-back and a
                                   replay; prints one line of JSON
log.py grow URL WITNESS_VKEY SECS  grows leaf by leaf, whatever becomes of the witness in between; a
                                   witness that forgets or contradicts itself ends it with an error
"""

import json
import sys
import time

from aics_tlog import Checkpoint, MerkleTree, format_vkey, sign_checkpoint, vkey_from_ed25519
from aics_witness.feeder import (
    WitnessAhead,
    WitnessClient,
    WitnessRejected,
    WitnessUnavailable,
    submit_checkpoint,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

ORIGIN = "elsewhere.example/log"
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))


def head(tree, size):
    return sign_checkpoint(Checkpoint(ORIGIN, size, tree.root(size)), KEY, ORIGIN).to_bytes()


def leaves(name, count):
    return MerkleTree([f"{name} {number}\n".encode() for number in range(count)])


if sys.argv[1] == "vkey":
    print(format_vkey(vkey_from_ed25519(ORIGIN, KEY.public_key())))
    sys.exit()

url, witness = sys.argv[2:4]
if sys.argv[1] == "grow":
    client = WitnessClient(url, witness, max_attempts=1)
    tree, size, unanswered = leaves("leaf", 20000), 0, 0
    end = time.monotonic() + float(sys.argv[4])
    while time.monotonic() < end:
        size += 1
        while True:
            try:
                client.submit(head(tree, size), lambda a, b: tree.consistency_proof(a, b))
                break
            except WitnessUnavailable:
                unanswered += 1
                time.sleep(0.01)
    print(json.dumps({"cosigned": size, "unanswered": unanswered}))
    sys.exit()
tree, fork = leaves("leaf", 13), leaves("other", 21)


def submit(source, size, old=None):
    try:
        submit_checkpoint(
            url,
            head(source, size),
            lambda a, b: source.consistency_proof(a, b),
            witness_vkey=witness,
            old_size=old,
            max_attempts=1,
        )
        return 200
    except WitnessAhead as ahead:
        return f"ahead {ahead.known_size}"
    except WitnessRejected as rejected:
        return rejected.status


print(
    json.dumps(
        {
            "first": submit(tree, 1),
            "grown": submit(tree, 8, 1),
            # From a size that the witness does not hold: it says which, and is asked again.
            "relearned": submit(tree, 13, 5),
            "again": submit(tree, 13, 13),
            "forked": submit(fork, 21, 13),
            "same_size_forked": submit(fork, 13, 13),
            "rolled_back": submit(tree, 8, 8),
        }
    )
)
