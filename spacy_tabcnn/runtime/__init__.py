"""How the package computes: precision, oneDNN, torch modules in thinc, the encoder, updates."""
