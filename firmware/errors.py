"""Every error an operator can meet, as one tree.

VeilcamError
├── UsageError                     the person at the command line mends it          2
├── ConfigError                    whoever wrote the file mends it                 10
│   ├── UnknownBoard                                                               11
│   ├── UnknownDriver                                                              12
│   ├── PortInUse                                                                  13
│   ├── IdentityDamaged            whoever has a copy of the state folder mends it 14
│   ├── CameraRefused              whoever asked: the camera's owner can allow it  15
│   └── KeyUnavailable             whoever has the token, or mends the TPM          16
├── DriverUnavailable              the installer adds a package, or a part        20
├── SourceError                    whoever owns the camera or the clip mends it    30
│   ├── SourceNotFound                                                             31
│   ├── SourceCorrupt                                                              32
│   └── CameraLost                                                                 33
├── ModelError                     set-up mends it                                 40
│   ├── ModelMissing                                                               41
│   ├── WrongHash                                                                  42
│   └── SelfTestFailed                                                             44
├── NetworkUnavailable             whoever runs the network mends it               43
├── DetectorFailed                 the supervisor restarts it, else systemd        50
│   └── DetectorStalled                                                            51
├── OutputError                    the person frees space or picks another place   60
│   ├── StateInUse                 the person stops the other camera               61
│   └── AuditUnwritable            the person frees space; until then no raw       62
├── RecordDamaged                  whoever answers for the camera looks into it    63
├── UpdateError                    whoever made the update mends it                80
├── EncoderFailed                  systemd restarts the camera                     70
└── EndOfSource                    nobody: a clip that is not to loop is over      0

The number is the exit status of `veilcam` when the error ends it. Every message is one line that says
what happened, where, and what to do.
"""


class VeilcamError(Exception):
    """Root of what the firmware raises on purpose."""

    exit_code = 1


class UsageError(VeilcamError):
    """The command was called in a way it cannot carry out."""

    exit_code = 2


class ConfigError(VeilcamError):
    """A board file, a manifest or a settings file says something that is not valid."""

    exit_code = 10


class UnknownBoard(ConfigError):
    """No board file has the name that was asked for."""

    exit_code = 11


class UnknownDriver(ConfigError):
    """A name is not in the closed table of drivers."""

    exit_code = 12


class PortInUse(ConfigError):
    """The address to listen on is taken or cannot be bound."""

    exit_code = 13


class IdentityDamaged(ConfigError):
    """A key or the certificate of this device is there and cannot be read."""

    exit_code = 14


class CameraRefused(ConfigError):
    """The camera was asked for something over its own command line and said no."""

    exit_code = 15


class KeyUnavailable(ConfigError):
    """Hardware that holds a key is not there, is locked, or does not do what it is asked."""

    exit_code = 16


class DriverUnavailable(VeilcamError):
    """A known driver lacks its package, its device or, in this release, its body."""

    exit_code = 20


class SourceError(VeilcamError):
    """A camera, clip or picture cannot be read."""

    exit_code = 30


class SourceNotFound(SourceError):
    """The source does not exist or may not be opened."""

    exit_code = 31


class SourceCorrupt(SourceError):
    """The source is there but cannot be decoded."""

    exit_code = 32


class CameraLost(SourceError):
    """A camera that ran stopped delivering frames."""

    exit_code = 33


class ModelError(VeilcamError):
    """A model file cannot be used."""

    exit_code = 40


class ModelMissing(ModelError):
    """A model file is not in the cache; set-up has not brought it."""

    exit_code = 41


class WrongHash(ModelError):
    """A file's SHA-256 or size is not the one its manifest states."""

    exit_code = 42


class NetworkUnavailable(VeilcamError):
    """What is needed is in no local place, and its registry or address cannot be reached."""

    exit_code = 43


class SelfTestFailed(ModelError):
    """A converted model does not give the outputs its manifest states."""

    exit_code = 44


class DetectorFailed(VeilcamError):
    """A detector raised or could not be brought back within its limit of restarts."""

    exit_code = 50


class DetectorStalled(DetectorFailed):
    """A detector has not answered for so long that only a restart of the process frees it."""

    exit_code = 51


class OutputError(VeilcamError):
    """What was made cannot be written where it was asked for."""

    exit_code = 60


class StateInUse(OutputError):
    """Another process owns the state folder."""

    exit_code = 61


class AuditUnwritable(OutputError):
    """The record cannot be written: what would have to be recorded is not allowed."""

    exit_code = 62


class RecordDamaged(VeilcamError):
    """A record is not as the device wrote it; the text says from where on."""

    exit_code = 63


class EncoderFailed(VeilcamError):
    """The encoder refused a picture."""

    exit_code = 70


class UpdateError(VeilcamError):
    """An update is refused; the text begins with a code for programs."""

    exit_code = 80


class EndOfSource(VeilcamError):
    """A clip has come to its end; not a failure."""

    exit_code = 0


def first_error(group: BaseExceptionGroup[VeilcamError]) -> VeilcamError:
    """Return the first error of a group, however deep."""
    first = group.exceptions[0]
    return first_error(first) if isinstance(first, BaseExceptionGroup) else first
