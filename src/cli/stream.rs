pub(super) use crate::call::open_as_declared as open;
