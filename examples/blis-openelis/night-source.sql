-- What happens after evening-source.sql was caught up with: the night's work, on rows
-- that came in the evening among others.

-- A result comes, a request is cancelled, a name is corrected once more.
UPDATE test SET result = '4.8,0123456789abcdef0123456789abcdef01234567', verified_by = 53, date_verified = '2022-01-12 06:40:00' WHERE test_id = 11312;
DELETE FROM test WHERE specimen_id = 10021;
DELETE FROM specimen WHERE specimen_id = 10021;
UPDATE patient SET name = 'Awa Ngo Belle' WHERE patient_id = 3034;

-- The result that was put aside is typed anew.
UPDATE test SET result = '5.1,0123456789abcdef0123456789abcdef01234567' WHERE test_id = 11316;

-- What was corrected in the evening is put back as it was.
UPDATE patient SET sex = 'O' WHERE patient_id = 3032;

-- An analysis is added to an old request.
INSERT INTO test (test_id, test_type_id, result, user_id, verified_by, ts, specimen_id, date_verified) VALUES
	(11314, 19, '88,0123456789abcdef0123456789abcdef01234567', 53, 53, '2022-01-12 06:50:00', 10016, '2022-01-12 07:05:00');
