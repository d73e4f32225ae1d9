"""Many operations and many cycles: nothing may leak or grow."""
