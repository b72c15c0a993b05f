(** Tokens: what becomes of them, that one works at most once, and what reset checks in which order. *)
From stdpp Require Import base numbers gmap strings list.
From Coq Require Import Lia.
From Contextvars Require Import Words Bindings State Text Equality Life Machine.
From ContextvarsProofs Require Import Laws Frame Invariant.
Local Open Scope N_scope.

Section tokens.
  Context {M : Type} `{Lawful M}.
  Context (through_cache : bool).
  Implicit Types (s : state M) (t : token).

  (** A later form of a token: the same variable, context and old value; used stays used. *)
  Definition later t t' : Prop :=
    tok_context t' = tok_context t /\ tok_variable t' = tok_variable t /\ tok_old t' = tok_old t /\
    (tok_used t = true -> tok_used t' = true) /\ (tok_held t = false -> tok_held t' = false).

  Lemma later_refl t : later t t.
  Proof. repeat split; auto. Qed.

  Lemma later_trans t t' t'' : later t t' -> later t' t'' -> later t t''.
  Proof. intros (A & B & C & D & E) (A' & B' & C' & D' & E'). repeat split; try congruence; auto. Qed.

  Definition keep_tokens s s' : Prop :=
    forall id t, tokens s !! id = Some t -> exists t', tokens s' !! id = Some t' /\ later t t'.

  Lemma keep_same s s' : tokens s' = tokens s -> keep_tokens s s'.
  Proof. intros E id t Ht. exists t. rewrite E. split; [exact Ht | apply later_refl]. Qed.

  Lemma keep_changes f s s' : changes f s s' -> (forall id, AtToken id ∉ f) -> keep_tokens s s'.
  Proof. intros C Hf id t Ht. exists t. pose proof (C (AtToken id) (Hf id)) as E. cbn in E. rewrite E. split; [exact Ht | apply later_refl]. Qed.

  Lemma tokens_bind th c v x b s : tokens (bind th c v x b s) = tokens s.
  Proof. unfold bind, fill_cache, set_cache. destruct (variables _ !! v); reflexivity. Qed.

  Lemma tokens_unbind c v x s : tokens (unbind c v x s) = tokens s.
  Proof. unfold unbind, set_cache. destruct (variables _ !! v); reflexivity. Qed.

  Lemma tokens_set th v b id s j t : tokens s !! j = Some t -> tokens (set th v b id s).1 !! j = Some t.
  Proof.
    intros Ht. unfold set. destruct (held_variable s v) as [x|]; [|exact Ht].
    destruct (negb (is_bound s (object_of b)) || present (tokens s !! id)) eqn:E; [exact Ht|].
    pose proof (tokens_base th s) as Et. destruct (current_or_base th s) as [s' c]. cbn [fst] in *.
    rewrite tokens_bind. cbn. rewrite Et. rewrite lookup_insert_ne; [exact Ht|].
    intros ->. rewrite Ht in E. cbn in E. rewrite orb_true_r in E. discriminate.
  Qed.

  Lemma tokens_reset th v id t s j : tokens s !! id = Some t ->
    tokens (reset th v id t s).1 !! j = tokens s !! j \/
    (j = id /\ tokens (reset th v id t s).1 !! j =
      Some (MkToken (tok_context t) (tok_variable t) (tok_old t) true (tok_held t))).
  Proof.
    intros Ht. unfold reset. destruct (tok_used t); [auto|]. destruct (negb _); [auto|].
    pose proof (tokens_base th s) as Et. destruct (current_or_base th s) as [s' c]. cbn [fst] in *.
    destruct (negb _); [left; cbn [fst]; rewrite Et; reflexivity|].
    destruct (variables s' !! v) as [x|]; [|left; cbn [fst]; rewrite Et; reflexivity].
    assert (forall r : state M, tokens r = tokens (use id t s') -> tokens r !! j = tokens s !! j \/
      (j = id /\ tokens r !! j = Some (MkToken (tok_context t) (tok_variable t) (tok_old t) true (tok_held t)))) as D.
    { intros r ->. cbn. rewrite Et. destruct (decide (id = j)) as [<- | Hne].
      - rewrite lookup_insert. auto.
      - rewrite lookup_insert_ne by exact Hne. auto. }
    destruct (tok_old t); [|destruct (present _)]; cbn [fst]; apply D; [apply tokens_bind | apply tokens_unbind | reflexivity].
  Qed.

  Lemma keep_reset th v id t s : tokens s !! id = Some t -> keep_tokens s (reset th v id t s).1.
  Proof.
    intros Ht j u Hu. destruct (tokens_reset th v id t s j Ht) as [E | [-> E]]; rewrite E.
    - eauto using later_refl.
    - rewrite Ht in Hu. injection Hu as <-. eexists. split; [reflexivity|]. repeat split; auto.
  Qed.

  Ltac absent :=
    intros E; repeat match goal with
      | E : _ ∈ _ ++ _ |- _ => apply elem_of_app in E
      | E : _ ∈ _ :: _ |- _ => apply elem_of_cons in E
      | E : _ \/ _ |- _ => destruct E as [E | E]
      | E : AtToken _ = _ |- _ => discriminate E
      | E : _ ∈ [] |- _ => inversion E
      | E : _ ∈ map _ _ |- _ => apply elem_of_list_fmap in E as (? & E & _)
      end.

  Lemma no_token_base th s id : AtToken id ∉ base_fp th s.
  Proof. unfold base_fp, new_fp. destruct (current _); absent. Qed.

  (** Whatever an operation does, tokens stay, and stay used. *)
  Lemma keep_operate th op s : is_thread s th -> keep_tokens s (operate through_cache th op s).1.
  Proof.
    intros L.
    assert (forall o v b id, keep_tokens s (match o with true => set th v b id s | false => (s, Skipped) end).1) as Hset.
    { intros [] v b id; [|apply keep_same; reflexivity]. intros j t Ht. exists t. split; [apply tokens_set, Ht | apply later_refl]. }
    destruct op; try (solve [match goal with |- context [operate _ _ ?op _] => apply (keep_changes (footprint th op s)) end; [apply (frame through_cache th _ s L)|]; intros tok; cbn [footprint];
      unfold on_named, named_fp, probe_fp, new_fp, return_fp, end_fp, unwind_fp, run_fp, enter_fp;
      repeat match goal with |- context [match ?x with _ => _ end] => destruct x end;
      absent; apply no_token_base in E; exact E]).
    - apply (Hset true).
    - cbn [operate]. unfold reset_any. destruct (held_variable s variable); [|apply keep_same; reflexivity].
      destruct token; try (apply keep_same; reflexivity).
      destruct (held_token s id) as [t|] eqn:Ht; [apply keep_reset, held_token_some, Ht | apply keep_same; reflexivity].
    - cbn [operate]. unfold on_token.
      destruct (held_token s token) as [t|] eqn:Ht; [apply keep_reset, held_token_some, Ht | apply keep_same; reflexivity].
    - cbn [operate]. unfold drop. destruct (negb _); [apply keep_same; reflexivity|]. cbn [fst].
      destruct dropped; try (apply keep_same; reflexivity).
      + intros j t Ht. destruct (decide (id = j)) as [<- | Hne].
        * exists (MkToken (tok_context t) (tok_variable t) (tok_old t) (tok_used t) false). cbn. rewrite lookup_alter, Ht.
          split; [reflexivity | repeat split; auto].
        * exists t. cbn. rewrite lookup_alter_ne by exact Hne. split; [exact Ht | apply later_refl].
      + destruct (names s !! id); apply keep_same; reflexivity.
    - cbn [operate]. destruct variable; try (apply keep_same; reflexivity). apply (Hset true).
    - cbn [operate]. destruct (is_bound s variable && is_bound s token); [|apply keep_same; reflexivity].
      destruct variable; try (apply keep_same; reflexivity). destruct token; try (apply keep_same; reflexivity).
      unfold on_token. destruct (held_token s id0) as [t|] eqn:Ht; [apply keep_reset, held_token_some, Ht | apply keep_same; reflexivity].
  Qed.

  Lemma keep_perform p s : keep_tokens s (perform through_cache p s).1.
  Proof.
    unfold perform, carry_out. set (e := set_events [] s).
    destruct (threads e !! step_thread p) as [t|] eqn:Et; cbn [default]; [|apply keep_same; reflexivity].
    destruct (th_live t) eqn:El; cbn; [|rewrite El; apply keep_same; reflexivity]. rewrite El.
    assert (is_thread e (step_thread p)) as L by (unfold is_thread; rewrite Et; cbn; rewrite El; reflexivity).
    destruct (forallb (is_bound e) (uses (step_operation p))); [|apply keep_same; reflexivity].
    pose proof (keep_operate (step_thread p) (step_operation p) e L) as K.
    destruct (operate through_cache (step_thread p) (step_operation p) e). exact K.
  Qed.

  Theorem keep_perform_all ps : forall s, keep_tokens s (perform_all through_cache ps s).1.
  Proof.
    induction ps as [|p ps IH]; intros s; [apply keep_same; reflexivity|]. cbn [perform_all].
    pose proof (keep_perform p s) as K. destruct (perform through_cache p s) as [s' a]. cbn [fst] in K.
    specialize (IH s'). destruct (perform_all through_cache ps s') as [s2 answers]. cbn [fst] in *.
    intros id t Ht. destruct (K id t Ht) as (t' & Ht' & L'). destruct (IH id t' Ht') as (t2 & Ht2 & L2).
    exists t2. split; [exact Ht2 | eapply later_trans; eassumption].
  Qed.

  (** ** Once *)

  (** The operations that reset by a token. *)
  Definition resets (op : operation) (id : token_id) : Prop :=
    match op with
    | OpVarReset _ (ObjectToken j) | OpTokenExit j | OpCapiVarReset _ (ObjectToken j) => j = id
    | _ => False
    end.

  Definition is_used s id : Prop := exists t, tokens s !! id = Some t /\ tok_used t = true.

  Lemma reset_done th v id t s : tokens s !! id = Some t -> (reset th v id t s).2 = Done ->
    tok_used t = false /\ is_used (reset th v id t s).1 id.
  Proof.
    intros Ht. unfold reset. destruct (tok_used t); [discriminate|]. destruct (negb _); [discriminate|].
    destruct (current_or_base th s) as [s' c]. destruct (negb _); [discriminate|].
    destruct (variables s' !! v) as [x|]; [|discriminate].
    assert (is_used (use id t s') id) as U.
    { eexists. cbn. rewrite lookup_insert. split; reflexivity. }
    destruct (tok_old t); [|destruct (present _); [|discriminate]]; cbn [fst snd]; intros _; (split; [reflexivity|]);
      unfold is_used in *; rewrite ?tokens_bind, ?tokens_unbind; exact U.
  Qed.

  (** Every operation that resets by a token is [reset], or refuses and changes nothing. *)
  Lemma resets_operate th op id s : resets op id -> 
    ((operate through_cache th op s).1 = s /\ (operate through_cache th op s).2 <> Done) \/
    exists v t, tokens s !! id = Some t /\ operate through_cache th op s = reset th v id t s.
  Proof.
    assert (forall f, (forall t, f t s = reset th (tok_variable t) id t s \/ exists v, f t s = reset th v id t s) ->
      ((on_token id f s).1 = s /\ (on_token id f s).2 <> Done) \/
      exists v t, tokens s !! id = Some t /\ on_token id f s = reset th v id t s) as Hon.
    { intros f Hf. unfold on_token. destruct (held_token s id) as [t|] eqn:Ht; [|left; split; [reflexivity | discriminate]].
      right. destruct (Hf t) as [E | [v E]]; rewrite E; eauto using held_token_some. }
    destruct op; cbn [resets]; try tauto.
    - destruct token; try tauto. intros <-. cbn [operate]. unfold reset_any.
      destruct (held_variable s variable); [|left; split; [reflexivity | discriminate]].
      destruct (held_token s id0) as [t|] eqn:Ht; [right; eauto using held_token_some | left; split; [reflexivity | discriminate]].
    - intros <-. cbn [operate]. apply Hon. auto.
    - destruct token; try tauto. intros <-. cbn [operate].
      destruct (is_bound s variable && is_bound s (ObjectToken id0)); [|left; split; [reflexivity | discriminate]].
      destruct variable; try (left; split; [reflexivity | unfold refuse; cbn [snd]; destruct (is_bound _ _); discriminate]).
      apply Hon. eauto.
  Qed.

  Lemma perform_shape p s : 
    (perform through_cache p s).2.1 = Done ->
    (operate through_cache (step_thread p) (step_operation p) (set_events [] s)).2 = Done /\
    (perform through_cache p s).1 = (operate through_cache (step_thread p) (step_operation p) (set_events [] s)).1.
  Proof.
    unfold perform, carry_out.
    match goal with |- context [th_live ?t] => destruct (th_live t) end; [|discriminate].
    destruct (forallb _ _); [|discriminate].
    destruct (operate through_cache (step_thread p) (step_operation p) (set_events [] s)). cbn. auto.
  Qed.

  (** A reset that succeeds leaves the token used. *)
  Theorem reset_uses p id s : resets (step_operation p) id -> (perform through_cache p s).2.1 = Done ->
    is_used (perform through_cache p s).1 id.
  Proof.
    intros R D. apply perform_shape in D as [D ->].
    destruct (resets_operate (step_thread p) _ id (set_events [] s) R) as [[_ N] | (v & t & Ht & E)]; [congruence|].
    rewrite E in *. apply (reset_done _ v id t _ Ht D).
  Qed.

  (** A used token is refused. *)
  Theorem used_refused p id s : resets (step_operation p) id -> is_used s id -> (perform through_cache p s).2.1 <> Done.
  Proof.
    intros R (t & Ht & U) D. apply perform_shape in D as [D _].
    destruct (resets_operate (step_thread p) _ id (set_events [] s) R) as [[_ N] | (v & t' & Ht' & E)]; [congruence|].
    rewrite E in D. apply (reset_done _ v id t' _ Ht') in D as [D _]. cbn in Ht'. congruence.
  Qed.

  (** RESET-2: a token works at most once, whatever happens between. *)
  Theorem token_once p ps q id s : resets (step_operation p) id -> resets (step_operation q) id ->
    (perform through_cache p s).2.1 = Done ->
    (perform through_cache q (perform_all through_cache ps (perform through_cache p s).1).1).2.1 <> Done.
  Proof.
    intros Rp Rq D. apply (used_refused q id); [exact Rq|].
    destruct (reset_uses p id s Rp D) as (t & Ht & U).
    destruct (keep_perform_all ps _ id t Ht) as (t' & Ht' & L). exists t'. split; [exact Ht' | apply L, U].
  Qed.

  (** ** The order of checks *)

  (** RESET-2 before RESET-3 before RESET-4: what each refusal means, and that it leaves the token be. *)
  Theorem reset_check_order th v id t s :
    (tok_used t = true -> reset th v id t s = (s, Error (TokenUsed id))) /\
    (tok_used t = false -> tok_variable t <> v -> reset th v id t s = (s, Error (TokenOfOtherVariable id))) /\
    (tok_used t = false -> tok_variable t = v -> tok_context t <> current_of th s ->
      reset th v id t s = ((current_or_base th s).1, Error (TokenOfOtherContext id))).
  Proof.
    unfold reset. repeat split.
    - intros ->. reflexivity.
    - intros -> Hv. destruct (N.eqb_spec (tok_variable t) v); [contradiction | reflexivity].
    - intros -> -> Hc. rewrite N.eqb_refl. cbn [negb]. rewrite <- current_or_base_current in Hc.
      destruct (current_or_base th s) as [s' c]. cbn [fst snd] in *.
      destruct (N.eqb_spec (tok_context t) c); [contradiction | reflexivity].
  Qed.

  (** RESET-8: a refused reset changes no token. *)
  Theorem refused_reset_keeps_tokens th v id t s :
    tok_used t = true \/ tok_variable t <> v \/ tok_context t <> current_of th s ->
    tokens (reset th v id t s).1 = tokens s.
  Proof.
    intros R. destruct (reset_check_order th v id t s) as (A & B & C).
    destruct (tok_used t) eqn:U; [rewrite A by reflexivity; reflexivity|].
    destruct (N.eq_dec (tok_variable t) v) as [Hv | Hv]; [|rewrite B by auto; reflexivity].
    destruct R as [R | [R | R]]; [discriminate | contradiction |].
    rewrite C by auto. apply tokens_base.
  Qed.
End tokens.
