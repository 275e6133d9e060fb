"""Control videos: what a reference shows a control adapter, drawn from tracks or taken from a video's own frames."""

from loralab.data.control.annotators import Annotator, load_annotator
from loralab.data.control.canny import canny
from loralab.data.control.drawing import TrackStyle, draw_tracks
from loralab.data.control.track_file import parse_tracks, read_tracks
from loralab.data.control.tracks import PointTrack, SampledTracks, SplineTrack, Track, sample_tracks

__all__ = [
    "Annotator",
    "PointTrack",
    "SampledTracks",
    "SplineTrack",
    "Track",
    "TrackStyle",
    "canny",
    "draw_tracks",
    "load_annotator",
    "parse_tracks",
    "read_tracks",
    "sample_tracks",
]
