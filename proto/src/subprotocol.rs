//! The client protocols we speak, and how one is chosen from what a client offers.
