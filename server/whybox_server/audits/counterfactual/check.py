"""From flags to flags with their counterfactual checks."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace

from rich.console import Console

from whybox_server.audits.counterfactual.plan import ONLY_FLAGGED, CheckOptions, Plan, Topic, plans
from whybox_server.audits.counterfactual.shifts import shifts
from whybox_server.audits.counterfactual.words import sentence
from whybox_server.audits.criticism.findings import CounterfactualCheck, Finding, Findings
from whybox_server.audits.criticism.options import FLOOR
from whybox_server.audits.criticism.pictures import Pictures
from whybox_server.audits.criticism.verdicts import FLAGGED
from whybox_server.audits.passes.changed import Changed, ChangedPictures
from whybox_server.audits.passes.journal import JOURNAL, Journal, Record
from whybox_server.audits.passes.run import Pass, measure

FOLDER = "counterfactual"
"""Name of the folder, beside the results of the audit, with the journal of the changed pictures."""

_TITLE = "counterfactual check"

CHECKED, NOT_CHECKED = "checked", "not_checked"
"""The states of a check."""


def with_checks(
    findings: Findings, pictures: Pictures, done: Pass | None, options: CheckOptions, err: Console
) -> Findings:
    """The findings, each flag with its check; no flag changes its state.

    Args:
        findings: The findings.
        pictures: The pictures that count.
        done: The pass that measured them; None for a table of predictions, which has no pictures to change.
        options: How flags are checked.
        err: Console for the progress.

    Raises:
        Exception: As `measure`, and as `Journal`.
    """
    made = plans(findings, pictures, done, options)
    changed = [each for plan in made.values() for picture in plan.pictures for each in (picture.box, *picture.random)]
    originals: dict[str, Record] = {}
    records: dict[str, Record] = {}
    if done is not None and changed:
        originals = {each.file: done.journal[each.file] for each in changed}
        records = _measured(done, changed, options, err)
    checks = {topic: _check(topic, plan, originals, records, options) for topic, plan in made.items()}

    def checked(finding: Finding) -> Finding:
        flag = finding.flag
        check = checks[Topic.of(flag)]
        if flag.state != FLAGGED and check.state == CHECKED:
            # A flag of another kind brought the check about, which is shown there.
            check = CounterfactualCheck(NOT_CHECKED, ONLY_FLAGGED)
        return replace(finding, flag=replace(flag, counterfactual=check))

    return replace(
        findings,
        findings=tuple(map(checked, findings.findings)),
        manifest={**findings.manifest, FOLDER: {**asdict(options), "smallest_number": FLOOR}},
    )


def _measured(done: Pass, changed: Sequence[Changed], options: CheckOptions, err: Console) -> dict[str, Record]:
    """The records of changed pictures by their keys; those of earlier runs are kept."""
    pictures = ChangedPictures(changed)
    attack = type(done.options)()
    attack.CopyFrom(done.options)
    attack.norms[:] = [options.norm]
    files = len({each.file for each in changed})
    err.print(f"{_TITLE}: {len(pictures)} changed versions of {files} pictures", soft_wrap=True)
    folder = done.save / FOLDER
    folder.mkdir(exist_ok=True)
    with Journal(folder / JOURNAL, done.settings, fresh=done.asked.fresh) as journal:
        measure(done.asked, done.archive, attack, pictures, journal, err, _TITLE)
        return {each.key: journal[each.key] for each in pictures.pictures()}


def _check(
    topic: Topic, plan: Plan, originals: Mapping[str, Record], records: Mapping[str, Record], options: CheckOptions
) -> CounterfactualCheck:
    outside, without_room = plan.outside, plan.without_room
    if plan.reason:
        return CounterfactualCheck(NOT_CHECKED, plan.reason, outside=outside, without_room=without_room)
    whole = [
        picture
        for picture in plan.pictures
        if all(records[each.key].measured for each in (picture.box, *picture.random))
    ]
    if len(whole) < FLOOR:
        failed = len(plan.pictures) - len(whole)
        reason = f"the attack failed on {failed} of {len(plan.pictures)} changed pictures; the same command tries again"
        return CounterfactualCheck(NOT_CHECKED, reason, outside=outside, without_room=without_room)
    check = CounterfactualCheck(
        CHECKED,
        removal=options.removal,
        pictures=len(whole),
        regions=options.regions,
        outside=outside,
        without_room=without_room,
        overlapping=sum(picture.overlapping for picture in whole),
        shifts=tuple(shifts(whole, originals, records, options.norm, options.seed)),
    )
    return replace(check, message=sentence(check, topic.attribute))
