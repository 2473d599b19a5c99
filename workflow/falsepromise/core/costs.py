"""The old name of `python -m falsepromise.study.costs`."""

import runpy
import sys

if __name__ == "__main__":
    print("falsepromise.core.costs is called falsepromise.study.costs now", file=sys.stderr)
    runpy.run_module("falsepromise.study.costs", run_name="__main__", alter_sys=True)
