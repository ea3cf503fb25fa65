-- The new laboratory of the benchmark with primary keys.
ALTER TABLE patient ADD PRIMARY KEY (id);
ALTER TABLE result ADD PRIMARY KEY (id);
