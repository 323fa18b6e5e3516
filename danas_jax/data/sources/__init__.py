"""Where examples come from: one file per source, each with `open_source(settings, native_px, seed) -> Source`."""
