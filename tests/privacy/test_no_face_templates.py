"""No module tells one person from another: nothing here makes, compares or names a face template.

Detectors say where a face is; that is not whose it is. What a recogniser would need has names in every
library that offers it, and none of these is in the source, in the models' files or among what it
needs. What is known of somebody in a frame is a kind, a box and a score, and no more goes from look to look.
"""

import dataclasses
import re
from pathlib import Path

import pytest

import firmware
from firmware.config.model import load_manifests
from firmware.core.counting import Step, Window
from firmware.core.frames import Detection, Kind
from firmware.pipeline.tracker import Track
from firmware.resources import models_dir

PACKAGE = Path(firmware.__file__).parent
TEMPLATES = re.compile(
    r"face_?(template|embedding|encoding|descriptor|recogni|print|match|id\b)|FaceRecognizer|FaceAnalysis|"
    r"\b(re_?id(entif\w+)?|gallery|enroll?_?face|same_person)\b|"
    r"arcface|cosface|sphereface|facenet|sface|insightface|dlib|deepface|openface|lbph|eigenface|fisherface|"
    r"\bcosine_?(similarity|distance)\b|(?<!token_)\bembeddings?\b",
    re.IGNORECASE,
)


def found_in(text: str) -> list[str]:
    return [match.group(0) for match in TEMPLATES.finditer(text)]


def test_no_module_and_no_model_makes_a_face_template() -> None:
    top = PACKAGE.parent
    files = [*PACKAGE.rglob("*.py"), *(top / "ota").rglob("*.py"), *models_dir().glob("*.toml")]
    assert len(files) > 100
    files += [top / "pyproject.toml", *(top / "requirements").glob("*.lock")]
    found = {
        str(path.relative_to(top)): names
        for path in files
        if path.is_file() and (names := found_in(path.read_text(encoding="utf-8")))
    }
    assert not found, f"reads as if it told people apart: {found}"


@pytest.mark.parametrize(
    "sneaky",
    [
        "recogniser = cv2.FaceRecognizerSF.create(path, '')",
        "embedding = session.run(None, {'input': face})[0]",
        "import insightface",
        "known = face_recognition.face_encodings(picture)",
        'file = "face_recognition_sface_2021dec.onnx"',
        "score = cosine_similarity(one, other)",
        "track.re_identify(gallery)",
    ],
)
def test_one_would_be_found(sneaky: str) -> None:
    assert found_in(sneaky)


def test_what_is_known_of_somebody_is_where_they_are_and_no_more() -> None:
    def fields(of: type) -> set[str]:
        return {field.name for field in dataclasses.fields(of)}

    assert fields(Detection) == {"kind", "box", "score"}
    assert fields(Track) == {"kind", "seen"}
    assert fields(Step) == {"before", "now", "foot"}
    assert fields(Window) == {"span_s", "looked", "zones", "lines"}
    assert {kind for one in load_manifests().values() for kind in one.finds} <= set(Kind)
