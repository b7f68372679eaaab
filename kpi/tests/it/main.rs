//! The key figures beside other implementations.

#[cfg(test)]
mod oee_oracle;
