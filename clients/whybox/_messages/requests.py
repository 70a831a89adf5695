"""From the arguments of `Client` to the requests of `whybox.v1`."""

from collections.abc import Mapping
from typing import Any, TypeVar, cast

from whybox._messages.fields import same_named
from whybox._messages.parts import PARTS, Part
from whybox.arguments import names
from whybox.options import MAX_MESSAGE_BYTES, AnalyzeOptions, PartName
from whybox.v1 import AnalyzeRequest
from whybox.v1.errors import PictureTooLargeError

# Options of every question that bear the name of a field of the request; the model is named by the client.
_COMMON = ("version", "seed", "view")

_OptionsT = TypeVar("_OptionsT", bound=Mapping[str, object])


def known(options: _OptionsT, kind: type[Any]) -> _OptionsT:
    """The options, if all of them are keys of the TypedDict `kind`; Python itself does not check `Unpack`.

    Raises:
        TypeError: There are others.
    """
    unknown = options.keys() - kind.__annotations__.keys()
    if unknown:
        raise TypeError(f"unexpected keyword arguments: {', '.join(sorted(unknown))}")
    return options


def analysis_request(picture: bytes, options: AnalyzeOptions) -> AnalyzeRequest:
    """The request for the wanted parts, to a model yet to be named; options that were not given stay absent.

    Raises:
        TypeError: A value is not of the kind of its option; see `same_named`, and `encode` for `baseline`.
        ValueError: `parts` is empty or names an unknown part; an option is for a part that is not among them; an option
            has no use, such as an empty list of methods; a number is outside the range of the contract.
        OSError: The picture in `baseline` cannot be read.
        PictureTooLargeError: The pictures have more bytes than a message may have.
    """
    asked: dict[str, Any] = {part.name: part.ask(options) for part in _wanted(options)}
    request = AnalyzeRequest(image=picture, **asked, **same_named(options, _COMMON, AnalyzeRequest))
    if request.ByteSize() > MAX_MESSAGE_BYTES:
        raise PictureTooLargeError(
            f"the request has {request.ByteSize() / 2**20:.1f} MiB, but at most {MAX_MESSAGE_BYTES >> 20} MiB can be "
            "sent; send a smaller picture",
            field="image",
        )
    return request


def implied_parts(options: AnalyzeOptions) -> list[PartName]:
    """The parts that the options name, and those that one of the options is for."""
    parts = options.get("parts")
    chosen = () if parts is None else names("parts", parts)
    given = {option for option, value in options.items() if value is not None}
    implied = [part.name for part in PARTS if part.name not in chosen and given.intersection(part.options)]
    return [*cast("tuple[PartName, ...]", chosen), *implied]


def _wanted(options: AnalyzeOptions) -> list[Part]:
    given = {option for option, value in options.items() if value is not None}
    parts = options.get("parts")
    if parts is None:
        # An option of a part that is not computed by default asks for that part.
        wanted = [part for part in PARTS if part.by_default or given.intersection(part.options)]
    else:
        chosen = names("parts", parts)
        wanted = [part for part in PARTS if part.name in chosen]
        if not chosen or len(wanted) < len(set(chosen)):
            known = ", ".join(part.name for part in PARTS)
            raise ValueError(f"parts must be some of {known}, not {chosen!r}")
    for part in PARTS:
        if part not in wanted and (stray := sorted(given.intersection(part.options))):
            raise ValueError(f"{stray[0]} is for {part.name}; add {part.name} to parts, or leave {stray[0]} out")
    return wanted
