//! Load generator for raw TCP lines.
