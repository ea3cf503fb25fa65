-- What happens in the old laboratory after it was read: an evening's work, in C4G BLIS on
-- MariaDB. evening-target.sql says what the same comes to in the new one.

-- Two patients come, and three requests; a new sample goes where one was cancelled.
INSERT INTO patient (patient_id, addl_id, name, sex, age, dob, created_by, ts, partial_dob, surr_id) VALUES
	(3034, '', 'Awa Ngo Bell', 'F', 34, '1987-03-14', 53, '2022-01-11 08:12:00', NULL, '14'),
	(3035, '77001', 'Essomba', 'M', 0, NULL, 53, '2022-01-11 08:20:00', '2001-02-03', '15');
DELETE FROM test WHERE specimen_id = 10015;
DELETE FROM specimen WHERE specimen_id = 10015;
INSERT INTO specimen (specimen_id, patient_id, specimen_type_id, user_id, ts, status_code_id, aux_id, date_collected, date_recvd, time_collected, doctor, daily_num) VALUES
	(10019, 3034, 7, 53, '2022-01-11 08:14:00', 1, 'A-19', '2022-01-11', '2022-01-11', '08:05', 'Jones', '20220111-1'),
	(10020, 3035, 6, 53, '2022-01-11 08:22:00', 0, '', '2022-01-11', '2022-01-11', 'morning', 'physician', '20220111-2'),
	(10021, 1200, 9, 53, '2022-01-11 08:30:00', 0, '', '2022-01-10', '2022-01-11', '23:40', 'Buck', '20220111-3');
INSERT INTO test (test_id, test_type_id, result, user_id, verified_by, ts, specimen_id, date_verified) VALUES
	(11311, 9, '5.4,0123456789abcdef0123456789abcdef01234567', 53, 53, '2022-01-11 08:15:00', 10019, '2022-01-11 09:02:11'),
	(11312, 84, '', 53, 0, '2022-01-11 08:23:00', 10020, NULL),
	(11313, 60, 'Clear,,,Rare,,,7,,,,,,0123456789abcdef0123456789abcdef01234567', 53, 0, '2022-01-11 08:31:00', 10021, NULL),
	(11316, 9, '5,1,0123456789abcdef0123456789abcdef01234567', 53, 53, '2022-01-11 08:40:00', 10020, '2022-01-11 09:10:00'); -- a comma for a point: put aside

-- Results come for requests that waited, and one of twelve years ago is corrected.
UPDATE test SET result = '62,0123456789abcdef0123456789abcdef01234567', verified_by = 53, date_verified = '2022-01-11 07:48:00' WHERE test_id = 11310;
UPDATE test SET result = '31,0123456789abcdef0123456789abcdef01234567', verified_by = 0 WHERE test_id = 11309;
UPDATE test SET result = '6.1,883c92977096c59aba6a441546dd4049902099d7' WHERE test_id = 118;

-- A name, a sex, a prescriber and a state were wrong.
UPDATE patient SET name = 'Marie Claire Fouda' WHERE patient_id = 3030;
UPDATE patient SET sex = 'F' WHERE patient_id = 3032;
UPDATE specimen SET doctor = 'Fox', status_code_id = 1 WHERE specimen_id = 10016;

-- A patient had two files: the empty one goes.
DELETE FROM patient WHERE patient_id = 11;
