"""Values to rows and back.  The only room that knows our SQL."""
