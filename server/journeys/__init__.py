"""The journeys: what a request sets out to do, from images or records to an answer. They know no HTTP."""
