//! Examples of the rules, one a test.
