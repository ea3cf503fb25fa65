package app

import "golang.org/x/sys/unix"

// diskOf is how much of a folder's disk is free, negative when it cannot be told, and
// the name of the network file system that it is on, if it is.
func diskOf(dir string) (free int64, remote string) {
	var st unix.Statfs_t
	if unix.Statfs(dir, &st) != nil {
		return -1, ""
	}
	remote = map[uint32]string{
		unix.NFS_SUPER_MAGIC: "NFS", unix.SMB_SUPER_MAGIC: "SMB", unix.CIFS_SUPER_MAGIC: "CIFS", unix.SMB2_SUPER_MAGIC: "SMB", unix.AFS_SUPER_MAGIC: "AFS",
		unix.V9FS_MAGIC: "9P", unix.CEPH_SUPER_MAGIC: "Ceph",
	}[uint32(st.Type)]
	return int64(st.Bavail) * st.Bsize, remote
}
