//! firstlight-benches
