"""From the findings of an audit to its page."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from whybox_server.audits.criticism.columns import ADVERSARIAL_CRITICISM, CALIBRATION, ERROR_RATE, Crossed, Question
from whybox_server.audits.criticism.groups import group
from whybox_server.audits.criticism.methods.effects import beyond
from whybox_server.audits.criticism.options import CriticismOptions
from whybox_server.audits.criticism.pictures import Pictures
from whybox_server.audits.criticism.verdicts import FLAGGED, INSUFFICIENT_DATA, NOT_DETECTED
from whybox_server.audits.passes.pictures import PICTURES
from whybox_server.audits.report.manifest import MANIFEST
from whybox_server.audits.report.page import noting
from whybox_server.audits.report.page.citations import Citations
from whybox_server.audits.report.page.figures import POINTS, Forest, Strips, strips
from whybox_server.audits.report.page.thumbnails import Thumbnail, thumbnails

PAGE = "audit.html"
"""Name of the page in the folder of the results."""

_STATES = {
    FLAGGED: ("■", "flagged"),
    NOT_DETECTED: ("○", "not detected"),
    INSUFFICIENT_DATA: ("…", "too little data"),
}
_KINDS = {
    ADVERSARIAL_CRITICISM: "How easily attacked",
    ERROR_RATE: "How often wrong",
    CALIBRATION: "How over-confident",
}
# What an effect below 0 and above 0 means.
_SIDES = {
    ADVERSARIAL_CRITICISM: ("easier to attack", "harder to attack"),
    ERROR_RATE: ("wrong less often", "wrong more often"),
    CALIBRATION: ("less over-confident", "more over-confident"),
}

# Attributes that stand below a picture.
_CELLS = 3


@dataclass(frozen=True)
class Limits:
    """What bounds the size of the page; the other files of the audit hold everything.

    Attributes:
        flagged: Flagged findings in words.
        others: Other findings in words, those with a measured effect.
        effects: Rows of each forest plot.
        strips: Findings whose distances are drawn.
        points: Pictures that are drawn of each group.
        classes: Classes with pictures; those with flags come first.
        pictures: Pictures of each kind that a class shows.
        rows: Rows of each table.
    """

    flagged: int = 40
    others: int = 8
    effects: int = 40
    strips: int = 20
    points: int = POINTS
    classes: int = 12
    pictures: int = 6
    rows: int = 200


LIMITS = Limits()


@dataclass(frozen=True)
class Picture:
    """A picture that the page shows.

    Attributes:
        file: Its path below the folder of the data set.
        name_at: Where the manifest has its file.
        distance_at: Where the manifest has its distance; "" for a misclassified picture.
        cells: What its class is asked about, and the picture's value.
        thumbnail: The picture; None for a page without thumbnails.
    """

    file: str
    name_at: str
    distance_at: str
    cells: Mapping[str, str]
    thumbnail: Thumbnail | None


def write_page(
    folder: Path,
    manifest: Mapping[str, Any],
    measurements: Pictures,
    options: CriticismOptions,
    pictures: Path | None,
) -> None:
    """Writes `PAGE`, with places for notes; the same findings give the same bytes.

    Args:
        folder: Folder of the results, which holds the table of the pictures.
        manifest: The content of `MANIFEST`.
        measurements: The pictures that count.
        options: The options of the findings.
        pictures: Folder of the pictures; None for a page without thumbnails.
    """
    page = _Page(manifest, Crossed(measurements, options), options)
    shown = page.shown_files()
    small = {} if pictures is None else thumbnails(pictures, folder / PICTURES, shown)
    environment = Environment(
        loader=PackageLoader(__package__),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    part = folder / f"{PAGE}.part"
    with part.open("w", encoding="utf-8") as file:
        template = environment.get_template("page.html")
        file.writelines(template.generate(page.values(small, with_thumbnails=pictures is not None)))
    part.replace(folder / PAGE)


class _Page:
    """What the template is given."""

    def __init__(self, manifest: Mapping[str, Any], measurements: Pictures, options: CriticismOptions) -> None:
        self._measurements = measurements
        self._options = options
        self._flags: list[dict[str, Any]] = manifest["flags"]
        states = list(_STATES)
        # The order of the page: by state, then the least likely to be chance, then the largest.
        self._order = sorted(
            range(len(self._flags)),
            key=lambda place: (
                states.index(self._flags[place]["state"]),
                1.0 if self._flags[place]["q_value"] is None else self._flags[place]["q_value"],
                -abs(self._flags[place]["effect"] or 0),
            ),
        )
        self._measured = [place for place in self._order if self._flags[place]["effect"] is not None]
        self._distances = [place for place in self._measured if self._flags[place]["kind"] == ADVERSARIAL_CRITICISM]
        self._strips = {place: self._drawn(self._flags[place]) for place in self._distances[: LIMITS.strips]}
        drawn = {
            str(place): {"with": asdict(both.having), "without": asdict(both.others)}
            for place, both in self._strips.items()
        }
        self._tails = [(place, number) for place in self._order for number in range(len(manifest["tails"][place]))]
        self._source = {**manifest, "limits": asdict(LIMITS), "drawn": drawn}

    def shown_files(self) -> list[str]:
        """The files of the pictures that the page shows."""
        return [
            picture.file
            for place in self._shown_classes()
            for pictures in self._by_kind(place, {}).values()
            for picture in pictures
        ]

    def values(self, small: Mapping[str, Thumbnail], *, with_thumbnails: bool) -> dict[str, Any]:
        """The variables of the template."""
        source = self._source
        flagged = [place for place in self._measured if self._flags[place]["state"] == FLAGGED]
        others = [place for place in self._measured if self._flags[place]["state"] != FLAGGED]
        classes = self._shown_classes()
        return {
            "audit": source,
            "cite": Citations(source),
            "manifest_name": MANIFEST,
            "table_name": PICTURES,
            "limits": LIMITS,
            "states": _STATES,
            "kinds": _KINDS,
            "sides": _SIDES,
            "sentence": self._sentence,
            "order": self._order,
            "sentences": [*flagged[: LIMITS.flagged], *others[: LIMITS.others]],
            "measured": self._measured,
            "forests": self._forests(),
            "strips": self._strips,
            "distance_flags": self._distances,
            "classes": [(place, self._by_kind(place, small)) for place in classes],
            "least_accurate": self._least_accurate(),
            "place_of_notes": noting.place,
            "thumbnails": with_thumbnails,
            "tails": self._tails,
            "class_sets": self._class_sets(),
            "threshold": self._threshold,
            "beyond": lambda low, high: beyond((low, high), self._options.delta_threshold),
            "distances": bool(self._measurements.header.distances),
            "calibrated": self._source["groups"][0]["confidence"] is not None,
        }

    def _threshold(self, kind: str) -> str:
        """Where the manifest has the threshold of a kind."""
        name = "delta_threshold" if kind == ADVERSARIAL_CRITICISM else "gap_threshold"
        return f"/statistics/options/{name}"

    def _sentence(self, flag: Mapping[str, Any]) -> str:
        """The message of a flag without the id of the audit, which the page says once."""
        told: str = flag["message"].removeprefix(f"In audit {flag['audit_id']}, ")
        return told[:1].upper() + told[1:]

    def _forests(self) -> list[tuple[str, Forest, list[int], int]]:
        """For each kind its axis, the flags in it, and how many there are in all."""
        found = []
        for kind in _KINDS:
            places = [place for place in self._measured if self._flags[place]["kind"] == kind]
            shown = places[: LIMITS.effects]
            least = self._options.delta_threshold if kind == ADVERSARIAL_CRITICISM else self._options.gap_threshold
            if shown:
                found.append((kind, Forest.around([self._flags[place] for place in shown], least), shown, len(places)))
        return found

    def _drawn(self, flag: Mapping[str, Any]) -> Strips:
        """The distances of the pictures that a flag compares."""
        part = self._measurements.of_class(flag["class_index"])
        question = Question(flag["kind"], flag["class_index"], flag["attribute"], flag["value"])
        groups = group(part, question, self._options, part.right)
        distances = part.distances[self._options.primary_norm][groups.rows]
        return strips(distances[groups.having], distances[~groups.having])

    def _shown_classes(self) -> list[int]:
        """The places of the classes that show pictures, those with flags first."""
        classes = self._source["classes"]
        first = {self._flags[place]["class_index"]: rank for rank, place in reversed(list(enumerate(self._order)))}
        ranked = sorted(
            range(len(classes)), key=lambda place: first.get(classes[place]["class_index"], len(self._order))
        )
        return [place for place in ranked if self._measurements.header.distances][: LIMITS.classes]

    def _least_accurate(self) -> list[int]:
        """The places of all classes by their accuracy."""
        classes = self._source["classes"]
        return sorted(range(len(classes)), key=lambda place: classes[place]["right"] / classes[place]["pictures"])

    def _class_sets(self) -> list[tuple[int, int]]:
        """The places of a prediction set's levels and of a class in them, class by class."""
        sets = (self._source["calibration"] or {"sets": []})["sets"]
        places = [(place, number) for place, each in enumerate(sets) for number in range(len(each["by_class"]))]
        return sorted(places, key=lambda found: found[1])

    def _by_kind(self, place: int, small: Mapping[str, Thumbnail]) -> dict[str, list[Picture]]:
        """The pictures that a class shows."""
        criticised = self._source["classes"][place]
        flags = [flag for flag in map(self._flags.__getitem__, self._order) if flag["q_value"] is not None]
        own = [flag["attribute"] for flag in flags if flag["class_index"] == criticised["class_index"]]
        asked = list(dict.fromkeys(own))[:_CELLS]

        part = self._measurements.of_class(criticised["class_index"])
        rows = {file: row for row, file in enumerate(part.files)}

        def picture(file: str, name_at: str, distance_at: str = "") -> Picture:
            cells = {name: str(part.attributes[name][rows[file]]) for name in asked}
            return Picture(file, name_at, distance_at, cells, small.get(file))

        at = f"/classes/{place}"
        tails = {
            name: [
                picture(example["file"], f"{at}/{name}/{rank}/file", f"{at}/{name}/{rank}/distance")
                for rank, example in enumerate(criticised[name][: LIMITS.pictures])
            ]
            for name in ("prototypes", "criticisms")
        }
        wrong = [
            picture(file, f"{at}/misclassified/{rank}")
            for rank, file in enumerate(criticised["misclassified"][: LIMITS.pictures])
        ]
        return {**tails, "misclassified": wrong}
