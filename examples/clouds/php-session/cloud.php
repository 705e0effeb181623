<?php
// A small cloud. Its sessions are those of PHP. It needs the PHP extension intl.
declare(strict_types=1);

const SESSION_SECONDS = 30 * 86400;
/**
 * Digits, some punctuation, and letters of one script: the Latin letters of European languages and Vietnamese, or Chinese
 * ones. Otherwise a Cyrillic о, or the letter ɡ of phonetics, could stand for a Latin one.
 */
const ALLOWED = '/^(?:[0-9._%+@a-z\x{DF}-\x{17F}\x{1A1}\x{1B0}\x{1E00}-\x{1EFF}-]+|[0-9._%+@\p{Han}-]+)$/Du';
const SPACE_OR_INVISIBLE = '/[\p{Z}\p{C}]/u';
umask(0077); // Only this user may read the files.
getenv('BROKER_ADMIN_KEY') ?: throw new Exception('set BROKER_ADMIN_KEY to a token of the internal API of the broker');
define('DATA_DIR', getenv('DATA_DIR') ?: __DIR__ . '/data');
@mkdir(DATA_DIR . '/sessions', recursive: true);

/**
 * Reads and changes the accounts, which are in a file. Use your database instead. `accounts`: by name, in the form in
 * which names are compared. `toErase`: the ids of deleted accounts that the broker must still erase.
 */
function withAccounts(callable $change): mixed
{
    $lock = fopen(DATA_DIR . '/lock', 'c');
    flock($lock, LOCK_EX);
    $file = DATA_DIR . '/accounts.json';
    $before = is_file($file) ? file_get_contents($file) : '{"accounts":{},"toErase":[]}';
    $data = json_decode($before, true, flags: JSON_THROW_ON_ERROR);
    $result = $change($data);
    $after = json_encode($data, JSON_THROW_ON_ERROR);
    if ($after !== $before) {
        file_put_contents("$file.new", $after);
        rename("$file.new", $file);
    }
    return $result; // The lock ends with $lock.
}

function accountById(?string $id): ?array
{
    $accounts = withAccounts(fn (array &$data) => $data['accounts']);
    return array_values(array_filter($accounts, fn (array $one) => $one['id'] === $id))[0] ?? null;
}

/** The form in which names are compared. Empty if the name is refused. NFKC_CF also folds the case. */
function normalized(string $name): string
{
    $normal = (string) Normalizer::normalize($name, Normalizer::NFKC_CF);
    $isVisible = preg_match(SPACE_OR_INVISIBLE, $name . $normal) === 0;
    return $isVisible && strlen($normal) <= 100 && preg_match(ALLOWED, $normal) ? $normal : '';
}

/** Deletes an account at the broker, or one terminal of it. Returns whether that succeeded, and logs a failure. */
function deleteAtBroker(string $path): bool
{
    $header = 'Authorization: Bearer ' . getenv('BROKER_ADMIN_KEY');
    $options = ['http' => ['method' => 'DELETE', 'header' => $header, 'timeout' => 10]];
    $url = (getenv('BROKER_ADMIN_URL') ?: 'http://127.0.0.1:9090') . "/accounts/$path";
    $succeeded = @file_get_contents($url, false, stream_context_create($options)) !== false;
    // Not the message of PHP, which has the account. The first header is the status.
    $succeeded || error_log('a logout or an erasure failed at the broker: ' . ($http_response_header[0] ?? 'no answer'));
    return $succeeded;
}

function erase(string $id): void
{
    if (deleteAtBroker($id)) {
        withAccounts(function (array &$data) use ($id): void {
            $data['toErase'] = array_values(array_diff($data['toErase'], [$id]));
        });
    }
}

function answer(int $status, array $body = []): never
{
    http_response_code($status);
    header('Content-Type: application/json');
    header('Cache-Control: no-store');
    exit($status === 204 ? '' : json_encode((object) $body));
}

/** The account of the session, or an answer 401. Closes the session at once, so that other requests need not wait. */
function requireAccount(): array
{
    isset($_COOKIE[session_name()]) && session_start(['read_and_close' => true]);
    $isFresh = ($_SESSION['since'] ?? 0) + SESSION_SECONDS > time();
    return ($isFresh ? accountById($_SESSION['account']) : null) ?? answer(401);
}

session_save_path(DATA_DIR . '/sessions');
ini_set('session.use_strict_mode', '1');
ini_set('session.gc_maxlifetime', (string) SESSION_SECONDS);
// With HTTPS, add: 'secure' => true
session_set_cookie_params(['lifetime' => SESSION_SECONDS, 'httponly' => true, 'samesite' => 'Lax']);

// `php cloud.php` repeats the erasures that failed. Let cron run it once a minute.
if (PHP_SAPI === 'cli') {
    array_map(erase(...), withAccounts(fn (array &$data) => $data['toErase']));
    exit;
}

$body = json_decode(file_get_contents('php://input'), true);
$text = fn (string $field): string => is_string($body[$field] ?? null) ? $body[$field] : '';
[$name, $password, $country] = [$text('name'), $text('password'), $text('country')];
switch ($_SERVER['REQUEST_METHOD'] . ' ' . parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH)) {
    case 'GET /healthz':
        answer(200);
    case 'POST /register':
        $normal = normalized($name);
        // The broker accepts only the codes of ISO 3166-1, for example not UK.
        if ($normal === '' || $password === '' || !preg_match('/^[A-Z]{2}$/D', $country)) {
            answer(400);
        }
        // The vendor gets the id: it never changes and says nothing about the person.
        $hash = password_hash($password, PASSWORD_DEFAULT);
        $account = ['id' => bin2hex(random_bytes(16)), 'country' => $country, 'hash' => $hash];
        answer(withAccounts(function (array &$data) use ($normal, $account): int {
            $data['accounts'] += [$normal => $account];
            return $data['accounts'][$normal] === $account ? 201 : 409;
        }));
    case 'POST /login':
        $account = withAccounts(fn (array &$data) => $data['accounts'][normalized($name)] ?? null);
        // The answer takes equally long for a name that nobody has.
        if (!($account ? password_verify($password, $account['hash']) : !password_hash($password, PASSWORD_DEFAULT))) {
            answer(401);
        }
        session_start();
        session_regenerate_id(true);
        $_SESSION = ['account' => $account['id'], 'since' => time()];
        session_write_close();
        // The account may have been deleted since its password was checked.
        if (accountById($account['id'])) {
            answer(200);
        }
        session_start();
        session_destroy();
        answer(401);
    case 'GET /whoami': // The broker sends the cookie of the app.
        ['id' => $id, 'country' => $country] = requireAccount();
        $since = $_SESSION['since'];
        answer(200, ['sub' => $id, 'region' => $country, 'iat' => $since, 'exp' => $since + SESSION_SECONDS]);
    case 'POST /logout':
        $account = requireAccount();
        session_start();
        session_destroy();
        deleteAtBroker($account['id'] . '/terminals/' . rawurlencode($_GET['uniqueId'] ?? ''));
        answer(204);
    case 'DELETE /account':
        ['id' => $id] = requireAccount();
        withAccounts(function (array &$data) use ($id): void {
            $data['accounts'] = array_filter($data['accounts'], fn (array $one) => $one['id'] !== $id);
            $data['toErase'][] = $id;
        });
        erase($id);
        answer(204);
    default:
        answer(404);
}
