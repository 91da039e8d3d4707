"""aics-witness, as it comes: witness.py ARGUMENT..."""

import runpy

runpy.run_module("aics_witness", run_name="__main__", alter_sys=True)
