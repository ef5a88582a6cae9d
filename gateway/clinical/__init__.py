"""Clinical knowledge as data: what a value means for a person, and which rules a reading fires.

Pure: the packaged TOML is read at `library()` (once for words and targets), nothing else is, and there is no
clock. The gateway judges with it while the cloud is away; the cloud judges again, knowing person and history.
"""

from gateway.clinical.facts import Count, Measurement, Person, Repeat, facts, measurement, vocabulary
from gateway.clinical.language import ClinicalDataError, Condition, Fact, Facts, holds, leaves
from gateway.clinical.rules import Finding, Rule, SignOff, judge, library, read, signed
from gateway.clinical.targets import Band, Limit, Verdict, averaged_of_three, interpret, profiles, targets
from gateway.clinical.words import Protocol, Severity, Text, words

__all__ = [
    "Band",
    "ClinicalDataError",
    "Condition",
    "Count",
    "Fact",
    "Facts",
    "Finding",
    "Limit",
    "Measurement",
    "Person",
    "Protocol",
    "Repeat",
    "Rule",
    "Severity",
    "SignOff",
    "Text",
    "Verdict",
    "averaged_of_three",
    "facts",
    "holds",
    "interpret",
    "judge",
    "leaves",
    "library",
    "measurement",
    "profiles",
    "read",
    "signed",
    "targets",
    "vocabulary",
    "words",
]
