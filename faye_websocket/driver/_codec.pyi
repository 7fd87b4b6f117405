"""The compiled codec has the types of its source."""

from .codec import Frame as Frame
from .codec import FrameParser as FrameParser
from .codec import apply_mask as apply_mask
from .codec import serialize_frame as serialize_frame
