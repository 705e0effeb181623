package com.example.accounts;

import java.io.IOException;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.attribute.FileAttribute;
import java.nio.file.attribute.PosixFilePermissions;

/** A file that only the user of this process may read. */
public final class PrivateFile {
    private PrivateFile() {
    }

    /** The file {@code name} in the folder DATA_DIR, which is created if it is missing. */
    public static Path inDataDir(String name) throws IOException {
        Path folder = Path.of(System.getenv().getOrDefault("DATA_DIR", "data"));
        return Files.createDirectories(folder).resolve(name);
    }

    /** @throws IOException with the file's name, also if the file is empty */
    public static String read(Path file) throws IOException {
        String content = Files.readString(file);
        if (content.isBlank()) {
            throw new IOException(file + " is empty. Restore it, or delete it to start anew");
        }
        return content;
    }

    /** A process that dies during a write leaves the former content. */
    public static void write(Path file, String content) throws IOException {
        Path next = file.resolveSibling(file.getFileName() + ".new");
        Files.deleteIfExists(next);
        createIfMissing(next);
        Files.writeString(next, content);
        Files.move(next, file, StandardCopyOption.REPLACE_EXISTING, StandardCopyOption.ATOMIC_MOVE);
    }

    /** Returns whether the file, which is now empty, was missing. */
    public static boolean createIfMissing(Path file) throws IOException {
        boolean isPosix = file.getFileSystem().supportedFileAttributeViews().contains("posix");
        FileAttribute<?>[] onlyOwner = {PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rw-------"))};
        try {
            Files.createFile(file, isPosix ? onlyOwner : new FileAttribute<?>[0]);
            return true;
        } catch (FileAlreadyExistsException exists) {
            return false;
        }
    }
}
