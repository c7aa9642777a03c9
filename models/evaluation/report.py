"""Figures as text."""

from . import LABELS
from .figures import Rule


def percent(value: float) -> str:
    return f"{100 * value:.1f} %"


def text(title: str, found: dict, rule: Rule) -> str:
    """One group's figures, for a person."""
    lines = [f"== {title}: {found['files']} files, {found['without_speech']} of them without speech"]
    if "ua" in found:
        ua, wa, ece = percent(found["ua"]), percent(found["wa"]), f"{found['ece']:.3f}"
        lines.append(f"UA {ua}   WA {wa}   ECE {ece}   ({found['labelled']} labelled)")
        lines += confusion(found)
    if "false_alarms" in found:
        alarms = found["false_alarms"]
        lines.append(
            f"not angry, yet predicted angry: {percent(alarms['angry'])} of {alarms['seconds']:.0f} spoken seconds; "
            f"at {rule.score} or more: {percent(alarms['at_threshold'])}"
        )
        lines.append(
            f"files firing the rule ({rule.in_a_row} segments in a row at {rule.score} or more): "
            f"{percent(alarms['files_firing_the_rule'])} of {alarms['files']}"
        )
    if "anger_found" in found:
        lines.append(f"angry files with a segment at {rule.score} or more: {percent(found['anger_found'])}")
    return "\n".join(lines)


def confusion(found: dict) -> list[str]:
    """Rows: label; columns: prediction."""
    columns = [label for label in LABELS if any(label in row for row in found["confusion"].values())]
    lines = [" " * 11 + "".join(f"{label:>10}" for label in columns) + "    recall"]
    for label, row in found["confusion"].items():
        counts = "".join(f"{row.get(column, 0):>10}" for column in columns)
        lines.append(f"{label:<11}{counts}{percent(found['recall'][label]):>10}")
    return lines
