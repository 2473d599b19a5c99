"""What pyproject.toml can't say: a wheel holds the workflow's own files too, as `falsepromise/_workflow`."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

FILES = ("Snakefile", "workflow/Snakefile", "workflow/rules", "workflow/report")
FOLDERS = ("config", "envs", "profiles", "resources", "slurm")


class WithWorkflow(build_py):
    """Copies them beside the modules; an editable installation has them in its checkout."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return
        target = Path(self.build_lib, "falsepromise/_workflow")
        for name in (*FILES, *FOLDERS):
            if Path(name).is_dir():
                shutil.copytree(name, target / name, dirs_exist_ok=True)
            else:
                (target / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(name, target / name)


setup(cmdclass={"build_py": WithWorkflow})
