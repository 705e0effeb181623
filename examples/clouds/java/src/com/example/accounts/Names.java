package com.example.accounts;

import java.lang.Character.UnicodeScript;
import java.text.Normalizer;
import java.util.Locale;
import java.util.regex.Pattern;

/** Makes names comparable, so that no account can have a name that looks like the name of another one. */
public final class Names {
    /**
     * Digits, some punctuation, the Latin letters of European languages and Vietnamese, and the letters of other scripts.
     * Invisible characters are not among them: format characters such as U+200B, lone marks, and parts of Hangul.
     */
    private static final Pattern ALLOWED = Pattern.compile("[0-9._%+@\\-a-z\\u00DF-\\u017F\\u01A1\\u01B0\\u1E00-\\u1EFF"
            + "[\\p{L}&&[^\\p{IsLatin}\\p{IsCommon}\\u1100-\\u11FF]]]{1,100}");

    private Names() {
    }

    /**
     * The name by which the account is stored and found: in Unicode's form NFKC, with its case folded, without spaces
     * around it.
     *
     * @throws Refused 400, if the name has other characters, or letters of two scripts
     */
    public static String comparable(String typed) {
        if (typed == null || typed.length() > 200) {
            throw new Refused(400, "name must be a text of 1 to 100 characters");
        }
        String folded = nfkc(typed).toUpperCase(Locale.ROOT).toLowerCase(Locale.ROOT);
        String name = nfkc(folded).strip();
        // A Cyrillic letter in a Latin name makes a second script.
        long scripts = name.codePoints().filter(Character::isLetter).mapToObj(UnicodeScript::of).distinct().count();
        if (scripts > 1 || !ALLOWED.matcher(name).matches()) {
            throw new Refused(400, "name must consist of letters of one script, digits and . _ % + - @");
        }
        return name;
    }

    private static String nfkc(String text) {
        return Normalizer.normalize(text, Normalizer.Form.NFKC);
    }
}
