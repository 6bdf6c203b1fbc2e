//! Layers and transport.
