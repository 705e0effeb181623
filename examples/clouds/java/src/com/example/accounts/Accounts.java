package com.example.accounts;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.security.MessageDigest;
import java.security.SecureRandom;
import java.util.ArrayList;
import java.util.Base64;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.function.Supplier;

import javax.crypto.SecretKeyFactory;
import javax.crypto.spec.PBEKeySpec;

/** The accounts, in one file. Replace this class by your database. */
public final class Accounts {
    /**
     * An account.
     *
     * @param id never changes, is never used again, and says nothing about the person: the vendor learns it
     * @param country ISO 3166-1 alpha-2
     */
    public record Account(String id, String name, String country, String passwordHash) {
    }

    /** The body of /register and, without a country, of /login. */
    public record Credentials(String name, String password, String country) {
    }

    /** The broker refuses other codes, such as UK and EU. */
    private static final Set<String> COUNTRIES = Set.of(Locale.getISOCountries());
    private static final int HASH_ROUNDS = 210_000;
    private static final SecureRandom RANDOM = new SecureRandom();

    private final Supplier<String> newId;
    private final Path file;
    private final String hashOfNobody = hash("nobody", newSalt());
    private final Map<String, Account> byId = new LinkedHashMap<>();
    private final Map<String, Account> byName = new LinkedHashMap<>();
    /** The ids of deleted accounts that the broker has not erased yet. */
    private final Set<String> toErase = new LinkedHashSet<>();

    public Accounts(Supplier<String> newId) throws IOException {
        this.newId = newId;
        file = PrivateFile.inDataDir("accounts.txt");
        if (!Files.exists(file)) {
            return;
        }
        for (String line : PrivateFile.read(file).split("\n")) {
            String[] fields = line.split("\t");
            switch (fields[0] + fields.length) {
                case "account5" -> add(new Account(fields[1], fields[2], fields[3], fields[4]));
                case "erase2" -> toErase.add(fields[1]);
                case "accounts1" -> { }
                default -> throw new IOException(file + " has a malformed line");
            }
        }
    }

    /** @throws Refused 400, or 409 if somebody has this name. In a real cloud, confirm the address or phone number first. */
    public Account register(Credentials sent) throws IOException {
        String name = Names.comparable(sent.name());
        if (sent.country() == null || !COUNTRIES.contains(sent.country())) {
            throw new Refused(400, "country must be a code that ISO 3166-1 assigns");
        }
        String hash = hash(checkedPassword(sent), newSalt());
        synchronized (this) {
            if (byName.containsKey(name)) {
                throw new Refused(409, "this name is taken");
            }
            Account account = new Account(newId.get(), name, sent.country(), hash);
            add(account);
            save();
            return account;
        }
    }

    /** Takes equally long for a name that nobody has. @throws Refused 400, or 401 */
    public Account login(Credentials sent) {
        Account account;
        synchronized (this) {
            account = byName.get(Names.comparable(sent.name()));
        }
        String expected = account == null ? hashOfNobody : account.passwordHash();
        String actual = hash(checkedPassword(sent), expected.split(":")[0]);
        if (!MessageDigest.isEqual(actual.getBytes(), expected.getBytes()) || account == null) {
            throw new Refused(401, "name or password is wrong");
        }
        return account;
    }

    public synchronized boolean exists(String id) {
        return byId.containsKey(id);
    }

    /** @throws Refused 401, if the account is deleted: none of its sessions is valid */
    public synchronized Account get(String id) {
        Account account = byId.get(id);
        if (account == null) {
            throw new Refused(401, "a valid session is required");
        }
        return account;
    }

    /** Deletes the account, and remembers that the broker must erase it. */
    public synchronized void delete(String id) throws IOException {
        Account account = byId.remove(id);
        if (account != null) {
            byName.remove(account.name());
            toErase.add(id);
            save();
        }
    }

    synchronized List<String> toErase() {
        return List.copyOf(toErase);
    }

    synchronized void erased(String id) throws IOException {
        if (toErase.remove(id)) {
            save();
        }
    }

    private void add(Account account) {
        byId.put(account.id(), account);
        byName.put(account.name(), account);
    }

    private void save() throws IOException {
        List<String> lines = new ArrayList<>(List.of("accounts"));
        byId.values().forEach(one -> lines.add(
                String.join("\t", "account", one.id(), one.name(), one.country(), one.passwordHash())));
        toErase.forEach(id -> lines.add("erase\t" + id));
        PrivateFile.write(file, String.join("\n", lines));
    }

    private static String checkedPassword(Credentials sent) {
        if (sent.password() == null || sent.password().isEmpty() || sent.password().length() > 200) {
            throw new Refused(400, "password must be a text of 1 to 200 characters");
        }
        return sent.password();
    }

    private static String newSalt() {
        byte[] salt = new byte[16];
        RANDOM.nextBytes(salt);
        return Base64.getEncoder().encodeToString(salt);
    }

    private static String hash(String password, String salt) {
        try {
            PBEKeySpec spec = new PBEKeySpec(password.toCharArray(), Base64.getDecoder().decode(salt), HASH_ROUNDS, 256);
            byte[] hash = SecretKeyFactory.getInstance("PBKDF2WithHmacSHA512").generateSecret(spec).getEncoded();
            return salt + ":" + Base64.getEncoder().encodeToString(hash);
        } catch (GeneralSecurityException error) {
            throw new IllegalStateException(error);
        }
    }
}
