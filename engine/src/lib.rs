//! firstlight
