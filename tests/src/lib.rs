//! firstlight-tests
