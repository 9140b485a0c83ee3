//! A partition goes to another node.
