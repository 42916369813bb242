"""What an agent hears from and speaks to."""

from __future__ import annotations

from .channels import BidiInput, BidiOutput
from .virtual import VirtualMicrophone, VirtualSpeaker

__all__ = ["BidiInput", "BidiOutput", "VirtualMicrophone", "VirtualSpeaker"]
