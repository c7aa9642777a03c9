"""The tables of README.md, written from metrics.json between marks `<!-- NAME -->` and `<!-- end -->`."""

import argparse
import json
import re
from collections.abc import Iterable
from pathlib import Path

# What the card calls the groups of ordinary speech.
ORDINARY = {
    "aishell": "AISHELL-1, S0252 (Mandarin, read, 16 kHz)",
    "ami": "AMI meetings (conversation, 16 kHz)",
    "asterisk_core": "telephone prompts, 5 languages (8 kHz) *",
    "audio_cmn": "Mandarin words (16 kHz) *",
    "calls": "two telephone calls, four channels (8 kHz) *",
    "common_voice": "Common Voice (read, 16 kHz)",
    "fsdd": "English digits (8 kHz) *",
    "google_samples": "narration (16 kHz)",
    "librispeech": "LibriSpeech (read, 16 kHz)",
    "speechocean762": "speechocean762 (learners, half children, 16 kHz)",
    "vctk": "VCTK (read, 16 kHz)",
    "zh_singles": "a Mandarin sentence (read, 16 kHz)",
}
ACTED = {
    "crema_d": "CREMA-D, 16 speakers",
    "emodb": "EmoDB, 2 speakers",
    "banglaser": "BanglaSER, 7 speakers",
    "indowave": "IndoWaveSentiment, 2 speakers",
}
TOTALS = ("corpora in training, other speakers", "corpora not in training", "all")
ROLES = {"0": "agent", "1": "caller"}
CONDITIONS = ("clean", "line")


def percent(share: float, digits: int = 1) -> str:
    return f"{100 * share:.{digits}f} %"


def rows(head: Iterable[str], body: Iterable[Iterable[object]]) -> str:
    head = list(head)
    lines = [head, ["---"] * len(head), *body]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def group(name: str) -> str:
    if name in TOTALS:
        return f"**{name}**"
    if name.startswith("call "):
        recording, channel = name.removeprefix("call ").rsplit("_", 1)
        return f"call {recording.split('_agent')[0]}, {ROLES[channel]}"
    return ORDINARY.get(name, name)


def false_alarms(metrics: dict, condition: str) -> str:
    now, before = (metrics[name][condition]["false_alarms"] for name in ("shipped", "previous"))
    advised = metrics["alerts"]["angry"]["threshold"]
    head = ("ordinary speech", "seconds", "predicted angry", "at 0.6 or more", f"at {advised} or more")
    body = [
        (
            group(name),
            one["seconds"],
            percent(one["angry"]),
            percent(one["at_0.6"], 2),
            percent(one["at_advised"], 2),
            f"{one['firing']} of {one['recordings']}",
            percent(before[name]["angry"]),
            percent(before[name]["at_0.6"], 2),
            before[name]["firing_at_0.6"],
        )
        for name, one in now.items()
    ]
    return rows((*head, "recordings firing", "before: angry", "before: at 0.6", "before: firing at 0.6"), body)


def operating_curve(metrics: dict) -> str:
    clean, line = (metrics["shipped"][condition]["operating_curve"] for condition in CONDITIONS)
    corpora = [name for name in ACTED if name in clean[0]["found"]]
    body = []
    for one, two in zip(clean, line, strict=True):
        found = [f"{100 * one['found'][name]:.0f} / {100 * two['found'][name]:.0f} %" for name in corpora]
        body.append(
            (
                one["threshold"],
                f"{100 * one['ordinary_seconds']:.2f} / {100 * two['ordinary_seconds']:.2f} %",
                f"{one['alarms_per_hour']} / {two['alarms_per_hour']}",
                f"{one['recordings_firing']} / {two['recordings_firing']}",
                *found,
            )
        )
    head = ("threshold", "ordinary seconds at it or above", "alarms per hour of ordinary speech", "recordings firing")
    return rows((*head, *(f"{ACTED[name].split(',')[0]} anger found" for name in corpora)), body)


def acted(metrics: dict) -> str:
    body = [
        (
            title,
            condition,
            now["segments"],
            *(percent(now[key]) for key in ("unweighted_accuracy", "weighted_accuracy", "four_class_recall")),
            f"{now['ece']:.3f}",
            *(percent(before[key]) for key in ("unweighted_accuracy", "four_class_recall")),
            f"{before['ece']:.3f}",
        )
        for name, title in ACTED.items()
        for condition in CONDITIONS
        for now, before in [[metrics[which][condition]["acted"][name] for which in ("shipped", "previous")]]
    ]
    head = ("held-out speakers", "condition", "segments", "unweighted", "weighted", "four classes", "ECE")
    return rows((*head, "before: unweighted", "before: four classes", "before: ECE"), body)


def confusion(metrics: dict, condition: str) -> str:
    labels, counts = metrics["labels"], metrics["shipped"][condition]["acted"]["crema_d"]["confusion"]
    shown = [n for n, name in enumerate(labels) if name != "other"]
    body = [
        (labels[n], *(counts[n][m] for m in shown), percent(counts[n][n] / sum(counts[n])))
        for n in shown
        if sum(counts[n])
    ]
    return rows(("", *(labels[n] for n in shown), "recall"), body)


def left_out(metrics: dict) -> str:
    names, body = ("angry", "happy", "neutral", "sad", "surprised"), []
    for key, note in (("left_out", ""), ("left_out_first_recipe_only", " (1,200 steps only)")):
        for corpus, found in metrics[key].items():
            for condition in CONDITIONS:
                one = found[condition]
                recall = [f"{100 * one['recall'][name]:.0f} %" if name in one["recall"] else "-" for name in names]
                wrong = " / ".join(f"{100 * share:.0f}" for share in one["risk_coverage"].values())
                four = percent(one["four_class_recall"])
                title = ACTED[corpus].split(",")[0] + note
                body.append((title, condition, four, *recall, f"{one['ece']:.3f}", wrong))
    last = "wrong among the surest 20 / 40 / 60 / 80 / 100 %"
    return rows(("corpus left out of training", "condition", "four classes", *names, "ECE", last), body)


def steadiness(metrics: dict) -> str:
    body = [(name, percent(one["acted"]), percent(one["ordinary"])) for name, one in metrics["labels_changed"].items()]
    return rows(("", "acted", "ordinary"), body)


def margins(metrics: dict) -> str:
    body = [
        (
            f"{name.removeprefix('margin ')} s",
            percent(one["crema_d_unweighted_accuracy"]),
            percent(one["ordinary_predicted_angry"], 2),
            percent(one["ordinary_at_0.6"], 2),
        )
        for name, one in sorted(metrics["margins"].items())
    ]
    return rows(("margin", "CREMA-D, unweighted", "ordinary speech predicted angry", "at 0.6"), body)


def speed(metrics: dict) -> str:
    body = [
        (f"{length}", one["times_real_time"], one["time_beside_previous"])
        for length, one in metrics["speed_one_thread"].items()
    ]
    return rows(("length of a segment", "times real time", "time beside version 1.1.0"), body)


def tables(metrics: dict) -> dict[str, str]:
    """By the name of their mark."""
    return {
        "false alarms, as recorded": false_alarms(metrics, "clean"),
        "false alarms, over the line": false_alarms(metrics, "line"),
        "operating curve": operating_curve(metrics),
        "acted speech": acted(metrics),
        "confusion, as recorded": confusion(metrics, "clean"),
        "confusion, over the line": confusion(metrics, "line"),
        "corpora left out": left_out(metrics),
        "steadiness": steadiness(metrics),
        "margins": margins(metrics),
        "speed": speed(metrics),
    }


def filled(text: str, metrics: dict) -> str:
    """The card with its tables as metrics.json has them."""
    for name, table in tables(metrics).items():
        marked = re.compile(rf"(<!-- {re.escape(name)} -->\n).*?(<!-- end -->)", re.DOTALL)
        if not marked.search(text):
            raise SystemExit(f"README.md has no mark <!-- {name} --> ... <!-- end -->; put it where the table belongs")
        text = marked.sub(lambda found, table=table: f"{found[1]}\n{table}\n\n{found[2]}", text)
    return text


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path(__file__).resolve().parent.parent)
    arguments = parser.parse_args()
    card = arguments.folder / "README.md"
    card.write_text(filled(card.read_text(), json.loads((arguments.folder / "metrics.json").read_text())))
