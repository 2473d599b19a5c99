"""Detect a text's language: langdetect's decision, with less work.

`Detector.is_language` decides what `langdetect.detect_langs` with `DetectorFactory.seed = 0` decides, for
every text (tests compare them on real dialogues). It draws the same features with the same random
numbers and saves time in three ways:

- langdetect uses the first 10,000 characters, but removes addresses from the whole text before;
  here only the text that can reach these characters is cleaned;
- it extracts features character by character; a word's features don't depend on its neighbours, so they are
  cached;
- it always makes seven trials; here they end as soon as the rest can't change the decision.

Source: langdetect 1.0.9, a port of N. Shuyo's language-detection (2010).
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from itertools import islice

import numpy as np

SEED = 0
UNDECIDED = "no letters to tell the language by"

_TRIALS = 7
_LIMIT = 10_000  # langdetect's max_text_length
_WINDOW = 16_000
_REACH = 2_700  # no address match is longer: 2,084 (URL) + 575 (mail) + 1 (Vietnamese pair)
_ROUNDING = 1e-9
_CACHED_WORDS = 200_000
_BATCH = 64


class Detector:
    """langdetect's profiles, ready to decide. Takes about a second to make."""

    def __init__(self) -> None:
        from langdetect.detector import Detector as Reference
        from langdetect.detector_factory import PROFILES_DIRECTORY, DetectorFactory
        from langdetect.utils.ngram import NGram

        factory = DetectorFactory()
        factory.load_profile(PROFILES_DIRECTORY)
        self.languages: list[str] = factory.langlist
        self._profiles: dict[str, list[float]] = factory.word_lang_prob_map
        self._reference = Reference
        self._normalize_pairs = NGram.normalize_vi
        self._characters = _Characters(NGram.normalize)
        self._rows: dict[str, np.ndarray] = {}
        self._words: dict[str, tuple[str, ...]] = {}

    def is_language(self, text: str, language: str, threshold: float = 0.0) -> bool | None:
        """Whether `language` is the most probable one, with a probability of at least `threshold`.

        Args:
            text: Any text.
            language: langdetect's code (`en`).
            threshold: 0 to 1; with 0 the decision is `langdetect.detect(text) == language`.

        Returns:
            The decision; None if langdetect finds no features in the text.
        """
        features = self._features(self._letters(self._cleaned(text)))
        if not features:
            return None
        return self._decide(features, self.languages.index(language), threshold)

    def _cleaned(self, text: str) -> str:
        """The first 10,000 characters without web and mail addresses."""
        if len(text) > _WINDOW:
            # A prefix is cleaned like the whole text, except where an address may cross its end.
            head = self._without_addresses(text[:_WINDOW])
            if len(head) - _REACH >= _LIMIT:
                return head[:_LIMIT]
        return self._without_addresses(text)[:_LIMIT]

    def _without_addresses(self, text: str) -> str:
        if "http" in text:
            text = self._reference.URL_RE.sub(" ", text)
        if "@" in text:
            text = self._reference.MAIL_RE.sub(" ", text)
        return text if text.isascii() else self._normalize_pairs(text)

    @staticmethod
    def _letters(text: str) -> str:
        """Remove Latin letters from a text that is mostly in another script."""
        if text.isascii():
            return text
        codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")
        latin = np.count_nonzero((codes >= ord("A")) & (codes <= ord("z")))
        other = np.count_nonzero((codes >= 0x300) & ((codes < 0x1E00) | (codes > 0x1EFF)))
        return re.sub("[A-z]", "", text) if latin * 2 < other else text

    def _features(self, text: str) -> list[str]:
        """N-grams (1 to 3) that occur in a profile, in langdetect's order."""
        words = text.translate(self._characters).split(" ")
        last = words.pop()  # the only word without a blank after it
        features: list[str] = []
        for word in words:
            if word:
                known = self._words.get(word)
                features += self._word_features(word) if known is None else known
        if last:
            features += self._ngrams(last)
        return features

    def _word_features(self, word: str) -> tuple[str, ...]:
        found = tuple(self._ngrams(word + " "))
        if len(word) <= 20:
            if len(self._words) >= _CACHED_WORDS:
                self._words.clear()
            self._words[word] = found
        return found

    def _ngrams(self, word: str) -> Iterator[str]:
        padded = " " + word
        for end in range(2, len(padded) + 1):
            if padded[end - 1].isupper() and padded[end - 2].isupper():
                continue  # within capitals
            for size in (1, 2, 3):
                gram = padded[end - size : end] if size <= end else ""
                if gram and gram != " " and gram in self._profiles:
                    yield gram

    def _decide(self, features: list[str], index: int, threshold: float) -> bool:
        """langdetect's trials, up to the one after which the decision is certain."""
        generator = random.Random(SEED)
        choice = generator.choice
        total = [0.0] * len(self.languages)
        weighted = np.empty(len(self.languages))
        for trial in range(1, _TRIALS + 1):
            weight = (0.5 + generator.gauss(0.0, 1.0) * 0.05) / 10_000
            prob = np.full(len(self.languages), 1.0 / len(self.languages))
            step = 0
            while True:
                np.add(self._row(choice(features)), weight, out=weighted)
                np.multiply(prob, weighted, out=prob)
                if step % 5 == 0:
                    prob /= sum(prob.tolist())  # summed in langdetect's order
                    if prob.max() > 0.99999 or step >= 1000:
                        break
                step += 1
            for language, p in enumerate(prob.tolist()):
                total[language] += p / _TRIALS
            rest = (_TRIALS - trial) / _TRIALS + _ROUNDING
            ours = total[index]
            rival = max(total[:index] + total[index + 1 :])
            if rest > _ROUNDING:
                if ours + rest < max(rival, threshold):
                    return False
                if ours > max(rival + rest, threshold + _ROUNDING, 0.1 + _ROUNDING):
                    return True
        first = max(range(len(total)), key=total.__getitem__)
        return first == index and ours > 0.1 and ours >= threshold

    def _row(self, gram: str) -> np.ndarray:
        row = self._rows.get(gram)
        if row is None:
            row = self._rows[gram] = np.array(self._profiles[gram])
        return row


class _Characters(dict[int, str]):
    """langdetect's normalisation of each character, computed at its first use."""

    def __init__(self, normalize: object):
        super().__init__()
        self._normalize = normalize

    def __missing__(self, code: int) -> str:
        found = self[code] = self._normalize(chr(code))  # type: ignore[operator]
        return found


def decisions(texts: Iterable[str], language: str, threshold: float, workers: int = 2) -> Iterator[bool | None]:
    """`Detector.is_language` of each text, in order, over `workers` processes; bounded memory.

    With one worker, or few texts, all work is done in this process.
    """
    iterator = iter(texts)
    first = list(islice(iterator, 8 * _BATCH))
    if workers <= 1 or len(first) < 8 * _BATCH:
        detector = Detector()
        for text in first:
            yield detector.is_language(text, language, threshold)
        for text in iterator:
            yield detector.is_language(text, language, threshold)
        return
    with ProcessPoolExecutor(workers, initializer=_start_worker) as pool:
        waiting: list[Future[list[bool | None]]] = []
        batches = _batches(first, iterator)
        while True:
            for batch in islice(batches, 4 * workers - len(waiting)):
                waiting.append(pool.submit(_decide_batch, batch, language, threshold))
            if not waiting:
                return
            yield from waiting.pop(0).result()


def _batches(first: list[str], rest: Iterator[str]) -> Iterator[list[str]]:
    for start in range(0, len(first), _BATCH):
        yield first[start : start + _BATCH]
    while batch := list(islice(rest, _BATCH)):
        yield batch


_worker: list[Detector] = []  # a worker process's own detector


def _start_worker() -> None:
    _worker.append(Detector())


def _decide_batch(texts: list[str], language: str, threshold: float) -> list[bool | None]:
    return [_worker[0].is_language(text, language, threshold) for text in texts]
