package com.example.accounts;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.Map;

/** Keeps texts until they expire, in a file. Use Redis in its place: GET, SET with PX, DEL and PTTL. */
public final class SessionFile {
    /** For a text that does not expire. */
    public static final long NEVER = Long.MAX_VALUE;

    private record Entry(String text, long endsAt) {
        boolean isOver() {
            return endsAt <= System.currentTimeMillis();
        }
    }

    private final Path file;
    private final Map<String, Entry> entries = new HashMap<>();

    public SessionFile() throws IOException {
        file = PrivateFile.inDataDir("sessions.txt");
        if (!Files.exists(file)) {
            return;
        }
        for (String line : PrivateFile.read(file).split("\n")) {
            String[] fields = line.split("\t", 3);
            if (fields.length == 3) {
                entries.put(fields[0], new Entry(fields[2], Long.parseLong(fields[1])));
            }
        }
    }

    /** Returns null if there is no text. */
    public synchronized String get(String key) {
        Entry entry = entries.get(key);
        return entry == null || entry.isOver() ? null : entry.text();
    }

    /** Returns the end in epoch milliseconds, or 0 if there is no text. */
    public synchronized long endsAt(String key) {
        Entry entry = entries.get(key);
        return entry == null || entry.isOver() ? 0 : entry.endsAt();
    }

    /** @param text without tabs and line ends */
    public synchronized void set(String key, String text, long endsAt) {
        entries.put(key, new Entry(text, endsAt));
        save();
    }

    /** Replaces a text that is there. It brings no text back that was deleted meanwhile. */
    public synchronized void replace(String key, String text, long endsAt) {
        if (get(key) != null) {
            set(key, text, endsAt);
        }
    }

    public synchronized void delete(String key) {
        if (entries.remove(key) != null) {
            save();
        }
    }

    private void save() {
        entries.values().removeIf(Entry::isOver);
        StringBuilder lines = new StringBuilder("sessions\n");
        entries.forEach((key, entry) -> lines.append(String.join("\t", key, "" + entry.endsAt(), entry.text())).append('\n'));
        try {
            PrivateFile.write(file, lines.toString());
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
    }
}
