"""The old name of `python -m falsepromise.study.expand`."""

import runpy
import sys

if __name__ == "__main__":
    print("falsepromise.core.study is called falsepromise.study.expand now", file=sys.stderr)
    runpy.run_module("falsepromise.study.expand", run_name="__main__", alter_sys=True)
