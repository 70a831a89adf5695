"""All that an audit found, as it is packed with a model."""

from dataclasses import dataclass, field
from pathlib import Path

from whybox.results.bias import BiasFlag
from whybox.results.model import Audit


@dataclass(frozen=True)
class AuditReport:
    """An audit of a model with all of its findings.

    Attributes:
        audit: What was audited, and whether it was the model that is served.
        flags: Its flags, as the audit found them; they are about another version of the model if `audit.differences`
            names anything.
        json: The manifest of the audit, `audit.json`.
        html: Its page for people, `audit.html`; None if it was not asked for.
    """

    audit: Audit
    flags: tuple[BiasFlag, ...]
    json: str = field(repr=False)
    html: str | None = field(repr=False)

    def save(self, folder: str | Path) -> tuple[Path, ...]:
        """Writes `audit.json`, and `audit.html` if it is there, byte by byte as the server has them.

        Args:
            folder: Where to write; a missing folder is made.

        Returns:
            The files.

        Raises:
            OSError: The folder or a file cannot be written.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        saved = []
        for name, content in (("audit.json", self.json), ("audit.html", self.html)):
            if content is not None:
                (folder / name).write_bytes(content.encode())
                saved.append(folder / name)
        return tuple(saved)
