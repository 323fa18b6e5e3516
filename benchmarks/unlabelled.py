"""What pictures without labels and a teacher are worth: few labels, the rest of train without, all labels, all taught.

Of each seed four runs of the CONFIG's fixed networks (`--search.finalists-per-budget 0`; with --finalists also of the
search): `few` has `--labels` labels a class (data.limit_per_class) and no teacher, `unlabelled` has the same, the rest
of train as data.unlabelled and the teacher, `all` has all labels and no teacher, `taught` all labels and the teacher.
All spend as many image views: an epoch of `unlabelled` shows as many pictures as one of `all`, `few` has more epochs
instead, and so seldom validates that all choose among as many epochs. The rest is links named by number; it is exactly
what data.limit_per_class leaves.

Rows that are in the CSV are skipped and a killed run goes on, so the same command resumes. Last printed: how far of the
way from `few` to `all` the unlabelled pictures go, and what the teacher adds to `all`. What stands behind -- is for all
runs of `danas run`:

    python benchmarks/unlabelled.py person_photos --teacher FILE.tflite --epochs 40 --seeds 0 1 2 \\
        --out benchmarks/results/unlabelled.csv -- --data.path DIR --data.native-resolution-px 144
"""

from __future__ import annotations

import argparse
import csv
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

from danas_jax import disk, overrides
from danas_jax.config import Config, native_frame
from danas_jax.data.dataset import open_source
from danas_jax.data.splits import limit_per_class

FEW, UNLABELLED, ALL, TAUGHT = SETTINGS = "few", "unlabelled", "all", "taught"
FIELDS = (
    *("setting", "seed", "network", "labels", "without_label", "epochs", "image_views"),
    *("float_validation", "int8_validation", "int8_test"),
)


def rest_of_train(config: Config, labels: int, folder: Path) -> tuple[int, int]:
    """Link what `data.limit_per_class` = `labels` leaves of train into `folder`: (pictures kept, pictures left)."""
    train = open_source(config.data, native_frame(config), config.seed).splits["train"]
    kept = set(limit_per_class(train, labels, config.seed).keys)
    folder.mkdir(parents=True, exist_ok=True)
    root = Path(config.data.path)
    for i, key in enumerate(train.keys):
        link = folder / f"{i:07d}{Path(key).suffix}"
        if key in kept or link.is_symlink():
            continue
        link.symlink_to((root if root.is_dir() else root.parent).resolve() / key)
    return len(kept), len(train) - len(kept)


def flags_of(setting: str, options: argparse.Namespace, kept: int, left: int, rest: Path) -> tuple[int, list[str]]:
    """(epochs of the retraining, the flags of `danas run`) of one setting."""
    more = (kept + left) / kept if setting == FEW else 1.0
    epochs = round(options.epochs * more)
    every = max(1, round(options.epochs * more / options.validations))
    flags = ["--retrain.epochs", str(epochs), "--retrain.validate-every-epochs", str(every)]
    flags += ["--train.epochs", str(round(options.train_epochs * more))]
    flags += [] if options.finalists else ["--search.finalists-per-budget", "0"]
    if setting in (FEW, UNLABELLED):
        flags += ["--data.limit-per-class", str(options.labels)]
    if setting == UNLABELLED:
        flags += ["--data.unlabelled", str(rest)]
    if setting in (UNLABELLED, TAUGHT):
        flags += ["--retrain.teacher", options.teacher]
        flags += ["--train.teacher", options.teacher] if options.finalists else []
    return epochs, flags


def print_shares(path: Path) -> None:
    """Means over the seeds of every setting and network, the unlabelled one's share of the way, the teacher's gain."""
    found = defaultdict(list)
    with path.open() as file:
        for row in csv.DictReader(file):
            found[row["network"], row["setting"]].append(float(row["int8_test"]))
    means = {key: sum(values) / len(values) for key, values in found.items()}
    for (network, setting), mean in sorted(means.items()):
        print(f"{network} {setting}: {mean:.4f} int8 test accuracy ({len(found[network, setting])} seeds)")
    for network in sorted({network for network, _ in means}):
        few, more, full, taught = (means.get((network, setting)) for setting in SETTINGS)
        if few is not None and more is not None and full is not None and full != few:
            print(f"{network}: {(more - few) / (full - few):.1%} of the way from {FEW} to {ALL}")
        if taught is not None and full is not None:
            print(f"{network}: {100 * (taught - full):+.1f} points by the teacher")


def main() -> None:
    """Run what is missing from the CSV."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", metavar="CONFIG")
    parser.add_argument("--teacher", required=True, help="file, for the settings that have one")
    parser.add_argument("--settings", nargs="+", choices=SETTINGS, default=list(SETTINGS))
    parser.add_argument("--labels", type=int, default=200, help="of each class, a part of which ranks subnets")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, default=40, help="of the retraining on as many pictures as train has")
    parser.add_argument("--train-epochs", type=int, default=24, help="of the supernet, likewise, with --finalists")
    parser.add_argument("--validations", type=int, default=10, help="epochs among which validation chooses")
    parser.add_argument("--finalists", action="store_true", help="the search's networks, too")
    parser.add_argument("--runs", type=Path, default=Path("runs/unlabelled"))
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/unlabelled.csv"))
    split = sys.argv.index("--") if "--" in sys.argv else len(sys.argv)
    options, flags = parser.parse_args(sys.argv[1:split]), sys.argv[split + 1 :]
    if not options.out.exists():
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(",".join(FIELDS) + "\n")
    with options.out.open() as file:
        done = {(row["setting"], int(row["seed"])) for row in csv.DictReader(file)}
    for seed in options.seeds:
        common = [options.config, *flags, "--seed", str(seed)]
        plain = [*common, *([] if options.finalists else ["--search.finalists-per-budget", "0"])]
        config = overrides.config_of(plain, "run")
        rest = options.runs.resolve() / f"rest_{options.labels}_seed{seed}"
        kept, left = rest_of_train(config, options.labels, rest)
        for setting in options.settings:
            if (setting, seed) in done:
                continue
            folder = options.runs / f"{setting}_seed{seed}"
            epochs, own_flags = flags_of(setting, options, kept, left, rest)
            command = [sys.executable, "-m", "danas_jax", "run", *common, *own_flags, "--run-dir", str(folder)]
            subprocess.run(command, check=True)
            pictures = {"labels": kept + left if setting in (ALL, TAUGHT) else kept, "without_label": 0}
            if setting == UNLABELLED:
                pictures["without_label"] = disk.read_json(folder / "report" / "unlabelled.json")["retrain"]["shown"]
            with options.out.open("a", newline="") as file:
                out = csv.DictWriter(file, FIELDS, lineterminator="\n", extrasaction="ignore")
                out.writerows(rows_of(folder, {"setting": setting, "seed": seed, "epochs": epochs, **pictures}))
    print_shares(options.out)


def rows_of(folder: Path, known: dict) -> list[dict]:
    """A row of every network of the run in `folder`; a network that two budgets chose is one."""
    networks = {entry["name"]: entry for entry in disk.read_json(folder / "summary.json")["finalists"]}
    return [
        {
            **known,
            "network": name if entry["kind"] == "baseline" else str(entry["budget"]["sram_bytes"]),
            "image_views": entry["retrain_image_views"],
            **{key: round(value, 4) for key, value in entry["accuracy"].items() if key in FIELDS},
        }
        for name, entry in networks.items()
    ]


if __name__ == "__main__":
    main()
