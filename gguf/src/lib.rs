//! firstlight-gguf
