//! Walks the parsed file and gathers problems.
