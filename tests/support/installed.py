"""An environment in which somebody has installed the wheel, and what runs there."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import venv
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Environment:
    """Has the wheel and what that needs; this checkout is not in it."""

    #: Where the programs of its packages are.
    programs: Path
    #: Where its packages are.
    packages: Path

    @property
    def variables(self) -> dict[str, str]:
        """What its programs find in theirs."""
        return {"PATH": f"{self.programs}:/usr/bin:/bin", "HOME": "/nonexistent"}

    def run(
        self, program: str, *arguments: str, cwd: Path, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        """Run one of its programs to its end."""
        return subprocess.run(
            [str(self.programs / program), *arguments],
            cwd=cwd,
            env={**self.variables, **variables},
            capture_output=True,
            text=True,
            check=False,
        )

    def pytest(self, *arguments: str, cwd: Path, **variables: str) -> str:
        """Run a project's tests; return what that printed."""
        options = ("-q", "-p", "no:cacheprovider", "--rootdir", ".")
        done = self.run("python", "-m", "pytest", *options, *arguments, cwd=cwd, **variables)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


def pip(*arguments: str) -> None:
    """Run the pip of this process's environment."""
    command = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def install(wheel: Path, folder: Path) -> Environment:
    """Make an environment in ``folder`` and install the wheel there."""
    venv.create(folder, symlinks=True)
    python = folder / "bin" / "python"
    options = ("--no-deps", "--no-index", "--no-compile")
    pip("--python", str(python), "install", *options, str(wheel))
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    packages = folder / "lib" / version / "site-packages"
    # Behind its own packages, and without what links to this checkout.
    (packages / "others.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
    return Environment(folder / "bin", packages)
