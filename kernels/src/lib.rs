//! firstlight-kernels
