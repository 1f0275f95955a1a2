"""Fitted scorers as files: written with skops, and read only if nothing in them is foreign.

skops keeps objects as plain arrays and a JSON schema in a zip file, and rebuilds none whose type is
not trusted. Trusted are its own list and `TRUSTED`, what the calibrated trees are made of; no
code of a file runs. What is read is checked to be a scorer of this version in itself.
"""

from __future__ import annotations

import os
import zipfile
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from twofa_lab.errors import InputError, WorkError
from twofa_lab.risk.additive import Additive
from twofa_lab.risk.anomaly import Anomaly, Forest, forest_is_sound
from twofa_lab.risk.codebook import Codebook
from twofa_lab.risk.freeman import LEVELS, GlobalCounts
from twofa_lab.risk.freeman_model import Freeman
from twofa_lab.risk.learned import Learned
from twofa_lab.risk.model_card import ModelCard
from twofa_lab.risk.policy import Policy
from twofa_lab.risk.rule_scorer import RuleScorer
from twofa_lab.risk.rules import RulePoints
from twofa_lab.risk.vector import VECTOR
from twofa_lab.tables import Array

__all__ = ["TRUSTED", "Scorer", "load_scorer", "save_scorer", "scorer_of"]

Scorer = RuleScorer | Freeman | Learned | Anomaly

TRUSTED = (
    "sklearn.calibration._CalibratedClassifier",
    "sklearn.calibration._SigmoidCalibration",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
)
"""Types beyond skops's own list that a model file may hold."""

_FORMAT = "twofa-lab scorer 1"
_MOST_UNPACKED = 20
"""How many times its size a file may unpack to: what `save_scorer` writes is not packed at all."""


def save_scorer(scorer: Scorer, path: str | Path) -> Path:
    """Write a fitted scorer to a file, which appears whole or not at all; returns its path.

    `InputError` for a scorer without a card: one that `fit_scorer` did not make.
    """
    import skops.io

    if scorer.card is None:
        raise InputError("this scorer has no model card: fit it with twofa_lab.fit_scorer")
    content = {"format": _FORMAT, "card": scorer.card.to_dict(), **_content(scorer)}
    target = Path(path)
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        skops.io.dump(content, part)
        part.replace(target)
    except OSError as error:
        raise WorkError(f"{target}: {error.strerror or error}") from None
    finally:
        part.unlink(missing_ok=True)
    return target


def load_scorer(path: str | Path) -> Scorer:
    """Read a scorer; `InputError` for a file that is none of ours, cut short, or holds anything
    that is not trusted.
    """
    source = Path(path)
    try:
        return _scorer(_open(source))
    except InputError as error:
        raise InputError(f"{source}: {error}") from None
    except OSError as error:
        raise InputError(f"{source}: {error.strerror or error}") from None


def scorer_of(policy: Policy) -> Freeman | Learned | None:
    """The scorer that a policy goes by; None for the rules, which stand in the policy itself.

    Read once as long as the file stays the same. `InputError` if it is another kind of scorer.
    """
    if policy.model is None:
        return None
    source = Path(policy.model)
    try:
        stat = source.stat()
    except OSError as error:
        raise InputError(f"policy {policy.name}: model {source}: {error.strerror}") from None
    found = _load_once(str(source), stat.st_mtime_ns, stat.st_size)
    if not isinstance(found, Freeman | Learned) or (
        found.card is None or found.card.scorer != policy.scorer
    ):
        kind = found.card.scorer if found.card else "unknown"
        raise InputError(f"policy {policy.name}: model {source} is {kind}, not {policy.scorer}")
    return found


@lru_cache(maxsize=8)
def _load_once(path: str, changed: int, size: int) -> Scorer:  # noqa: ARG001 - part of the key
    return load_scorer(path)


def _open(source: Path) -> dict[str, Any]:
    import skops.io

    if source.exists() and not source.is_file():  # a pipe would be waited for
        raise InputError("not a file")
    try:
        with zipfile.ZipFile(source) as file:
            unpacked = sum(entry.file_size for entry in file.infolist())
            if unpacked > _MOST_UNPACKED * source.stat().st_size + (1 << 20):
                raise InputError("unpacks to more than a scorer can be")
        foreign = set(skops.io.get_untrusted_types(file=source)) - set(TRUSTED)
        if foreign:
            raise InputError(
                f"holds {', '.join(sorted(foreign))[:200]}, which no scorer of ours does; "
                "not loaded"
            )
        content = skops.io.load(source, trusted=list(TRUSTED))
    except (InputError, OSError):
        raise
    except Exception as error:  # a broken or hostile file may raise anything
        raise InputError(f"not a scorer's file ({type(error).__name__})") from None
    if not isinstance(content, dict) or content.get("format") != _FORMAT:
        raise InputError(f"not a scorer's file of this version ({_FORMAT})")
    return content


def _content(scorer: Scorer) -> dict[str, Any]:
    if isinstance(scorer, RuleScorer):
        return {"kind": "rules", "points": dict(vars(scorer.points))}
    if isinstance(scorer, Freeman):
        return {
            "kind": "freeman",
            "attack_term": scorer.attack_term,
            "counts": list(scorer.counts),
            "values": [_packed(values) for values in scorer.book.values],
        }
    if isinstance(scorer, Anomaly):
        return {"kind": "anomaly", "forest": list(scorer.forest), "typical": scorer.typical}
    return {"kind": "learned", "additive": list(scorer.additive), "estimator": scorer.estimator}


def _scorer(content: dict[str, Any]) -> Scorer:
    try:
        card, kind = ModelCard.from_dict(content["card"]), content["kind"]
        if kind == "rules":
            return RuleScorer(RulePoints(**content["points"]), card)
        if kind == "freeman":
            counts = GlobalCounts._make(_arrays(content["counts"], "iiiii"))
            book = Codebook(LEVELS, tuple(_unpacked(packed) for packed in content["values"]))
            if not _fit_together(counts, book):
                raise InputError("its counts and values do not fit together")
            return Freeman(book, counts, bool(content["attack_term"]), card)
        if kind == "anomaly":
            forest = Forest._make(_arrays(content["forest"], "ifiifif"))
            typical = np.ascontiguousarray(content["typical"], np.float32)
            if not forest_is_sound(forest, typical):
                raise InputError("its trees do not fit together")
            return Anomaly(forest, typical, card)
        additive = Additive._make(_arrays(content["additive"], "fiff"))
        if kind != "learned" or not _is_sound(additive):
            raise InputError("its tables do not fit together")
        return Learned(additive, content["estimator"], card)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError):
        raise InputError("a part is missing or of the wrong kind; fit and save it again") from None


def _arrays(found: list[Array], kinds: str) -> list[Array]:
    """The arrays as compiled code takes them: int64 and float64, in one piece."""
    if len(found) != len(kinds):
        raise ValueError
    return [
        np.ascontiguousarray(array, np.int64 if kind == "i" else np.float64)
        for array, kind in zip(found, kinds, strict=True)
    ]


def _is_sound(additive: Additive) -> bool:
    """Whether compiled code may read these tables: it does not look at bounds."""
    edges, sizes, points, intercept = additive
    if edges.ndim != 2 or sizes.shape != (len(VECTOR),) or intercept.shape != (1,):
        return False
    if len(edges) != len(VECTOR) or points.shape != (len(VECTOR), edges.shape[1] + 1):
        return False
    if (sizes < 0).any() or (sizes > edges.shape[1]).any():
        return False
    known = [row[:size] for row, size in zip(edges, sizes, strict=True)]
    ordered = all(np.isfinite(row).all() and (np.diff(row) > 0).all() for row in known)
    return ordered and bool(np.isfinite(points).all() and np.isfinite(intercept).all())


def _fit_together(counts: GlobalCounts, book: Codebook) -> bool:
    """The same of Freeman's counts."""
    sizes = book.sizes
    starts = np.append(0, np.cumsum(sizes))
    room = len(counts.pairs)
    return (
        len(sizes) == len(LEVELS)
        and np.array_equal(counts.starts, starts)
        and counts.counts.shape == (starts[-1],)
        and counts.heads.shape == (sizes[0] + sizes[3], 4)
        and room >= 8
        and room & (room - 1) == 0
        and counts.numbers.shape == (5,)
        and bool((counts.numbers[:2] > 0).all())
    )


def _packed(values: Any) -> dict[str, Array]:
    """An index of numbers or texts as plain arrays; texts as UTF-8 and their lengths in bytes."""
    if values.dtype == np.uint64:
        return {"numbers": values.to_numpy()}
    texts = [text.encode() for text in values]
    lengths = np.array([len(text) for text in texts], np.int64)
    return {"texts": np.frombuffer(b"".join(texts), np.uint8), "lengths": lengths}


def _unpacked(packed: dict[str, Array]) -> Any:
    import pandas as pd

    if "numbers" in packed:
        return pd.Index(packed["numbers"].astype(np.uint64))
    ends = np.cumsum(packed["lengths"])
    joined = packed["texts"].astype(np.uint8).tobytes()
    if (packed["lengths"] < 0).any() or (ends[-1] if len(ends) else 0) != len(joined):
        raise ValueError
    parts = zip((ends - packed["lengths"]).tolist(), ends.tolist(), strict=True)
    texts = [joined[a:b].decode() for a, b in parts]
    return pd.Index(texts, dtype=object)
