"""Options of every driver, known without its hardware, so that any board file can be checked anywhere."""

from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from firmware.config.strict import Strict

Width = Annotated[int, Field(ge=64, le=7680, multiple_of=2, description="Picture width in pixels.")]
Height = Annotated[int, Field(ge=64, le=4320, multiple_of=2, description="Picture height in pixels.")]
Rate = Annotated[float, Field(gt=0, le=120, description="Frames per second.")]


class SceneOptions(Strict):
    """A built-in moving scene with a real face and known ground truth."""

    driver: Literal["scene"]
    width: Width = 1280
    height: Height = 720
    fps: Rate = 30.0


class FileOptions(Strict):
    """A clip played as if it were a camera."""

    driver: Literal["file"]
    path: str = Field(description="The clip.")
    loop: bool = Field(default=True, description="Begin again at the end, as a camera never ends.")
    realtime: bool = Field(default=True, description="Deliver at the clip's own rate.")


class V4l2Options(Strict):
    """A USB or CSI camera of the kernel's Video4Linux."""

    driver: Literal["v4l2"]
    device: str = Field(default="/dev/video0", pattern=r"^/dev/")
    width: Width = 1280
    height: Height = 720
    fps: Rate = 30.0


class RtspOptions(Strict):
    """A network camera, over RTSP."""

    driver: Literal["rtsp"]
    url: str = Field(pattern=r"^rtsps?://", repr=False, description="May hold a password; never logged.")
    timeout_s: float = Field(
        default=5.0, gt=0, le=60, description="How long it may send nothing; more for a frame in ten seconds."
    )
    transport: Literal["tcp", "udp"] = Field(
        default="tcp",
        description="udp for a camera that has no other; it loses packets on the way. Not for H.265.",
    )


class Picamera2Options(Strict):
    """A Raspberry Pi camera through picamera2: `main` in full, `lores` for the detectors."""

    driver: Literal["picamera2"]
    camera: int = Field(default=0, ge=0, le=3)
    width: Width = 1280
    height: Height = 720
    fps: Rate = 30.0
    lores_width: Width = 640
    buffers: int = Field(
        default=24,
        ge=20,
        le=32,
        description="Camera buffers; more than the frames held, looked at and masked.",
    )


class ArgusOptions(Strict):
    """A Jetson camera through nvarguscamerasrc."""

    driver: Literal["argus"]
    sensor: int = Field(default=0, ge=0, le=5)
    width: Width = 1280
    height: Height = 720
    fps: Rate = 30.0


CameraOptions: TypeAlias = Annotated[
    SceneOptions | FileOptions | V4l2Options | RtspOptions | Picamera2Options | ArgusOptions,
    Field(discriminator="driver"),
]


class OnnxOptions(Strict):
    """onnxruntime on the CPU."""

    driver: Literal["onnx"]
    threads: int = Field(default=1, ge=1, le=16)


class TfliteOptions(Strict):
    """LiteRT (ai-edge-litert), or tflite-runtime where that is what there is, on the CPU."""

    driver: Literal["tflite"]
    threads: int = Field(default=1, ge=1, le=16)


class EdgetpuOptions(Strict):
    """A Coral Edge TPU in a child process."""

    driver: Literal["edgetpu"]
    device: Literal["usb", "pci", "any"] = "any"
    python: str | None = Field(
        default=None,
        pattern=r"^/",
        description="The Python that has the TPU's runtime, where that is not the camera's own.",
    )
    library: str = Field(
        default="libedgetpu.so.1", pattern=r"^[A-Za-z0-9._/-]{1,200}$", description="Its library."
    )


class TensorrtOptions(Strict):
    """JetPack's TensorRT; plans are built on the device."""

    driver: Literal["tensorrt"]
    precision: Literal["fp32", "fp16"] = "fp16"


DetectorOptions: TypeAlias = Annotated[
    OnnxOptions | TfliteOptions | EdgetpuOptions | TensorrtOptions, Field(discriminator="driver")
]


class X264Options(Strict):
    """libx264 through PyAV: runs anywhere."""

    driver: Literal["x264"]
    bitrate: int = Field(default=2_000_000, ge=100_000, le=20_000_000, description="Bits per second.")
    preset: Literal["ultrafast", "superfast", "veryfast"] = "ultrafast"
    keyframe_interval_s: float = Field(default=10.0, gt=0, le=60)
    threads: int = Field(default=1, ge=1, le=8)


class V4l2m2mOptions(Strict):
    """The H.264 block of a Raspberry Pi 4; a Pi 5 and an Orin Nano have none."""

    driver: Literal["v4l2m2m"]
    bitrate: int = Field(default=2_000_000, ge=100_000, le=20_000_000, description="Bits per second.")
    keyframe_interval_s: float = Field(default=10.0, gt=0, le=60)


class NvencOptions(Strict):
    """The H.264 block of a Jetson, by GStreamer; an Orin Nano has none."""

    driver: Literal["nvenc"]
    bitrate: int = Field(default=2_000_000, ge=100_000, le=20_000_000, description="Bits per second.")
    keyframe_interval_s: float = Field(default=10.0, gt=0, le=60)


EncoderOptions: TypeAlias = Annotated[
    X264Options | V4l2m2mOptions | NvencOptions, Field(discriminator="driver")
]


class LedOptions(Strict):
    """A lamp among the LEDs of the machine."""

    driver: Literal["led"]
    led: str = Field(pattern=r"^[A-Za-z0-9:._-]{1,64}$", description="Its name in /sys/class/leds.")


LampOptions: TypeAlias = LedOptions
"""Every lamp that a board file can name."""
